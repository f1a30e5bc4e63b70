import type { Puzzles } from "../../../dsl/Source.ts"
import { stream } from "../../sampling/random.ts"
import type { DemonstrationRow, PromptRow, TextRow } from "../rows.ts"
import { countdown } from "./countdown.ts"
import { letters } from "./letters.ts"
import type { Puzzle, Task } from "./task.ts"

const tasks: Readonly<Record<Puzzles["task"], Task>> = { letters, countdown }

/** Puzzle `n` of a split. */
const puzzles = (task: Puzzles["task"], split: Puzzles["split"], key: string) => (n: number): Puzzle => {
  for (let tried = 0;; tried++) {
    const puzzle = tasks[task].puzzle(stream(`${key}/${n}/${tried}`))
    if (puzzle.held === (split === "held")) return puzzle
  }
}

const answered = ({ seed, split, task, right }: Puzzles, role: string, n: number) => {
  const key = `puzzles/${task}/${role}/${split}/${seed}`
  const puzzle = puzzles(task, split, key)(n)
  const random = stream(`${key}/${n}/answer`)
  return { puzzle, answer: puzzle.answer(random, random.next() < right) }
}

/** Puzzles with answers under another heading than an instruction's. */
export const texts = (of: Puzzles): ReadonlyArray<TextRow> =>
  Array.from({ length: of.count }, (_, n) => {
    const { answer, puzzle } = answered(of, "text", n)
    return { text: `${puzzle.told} : ${answer}` }
  })

/** Instructions with answers. */
export const demonstrations = (of: Puzzles): ReadonlyArray<DemonstrationRow> =>
  Array.from({ length: of.count }, (_, n) => {
    const { answer, puzzle } = answered(of, "demonstrations", n)
    return { prompt: puzzle.asked, completion: answer }
  })

/** Different instructions; fewer than `count` when the task seems to have no more. */
export const prompts = ({ count, seed, split, task }: Puzzles): ReadonlyArray<PromptRow> => {
  const of = puzzles(task, split, `puzzles/${task}/prompts/${split}/${seed}`)
  const rows = new Map<string, PromptRow>()
  for (let n = 0; rows.size < count && n < 20 * count + 1000; n++) {
    const { asked, columns } = of(n)
    if (!rows.has(asked)) rows.set(asked, { prompt: asked, columns })
  }
  return [...rows.values()]
}

/** Every word of a task, for a word-level tokenizer. Sorted. */
export const wordsOf = (task: Puzzles["task"]): ReadonlyArray<string> => [...new Set(tasks[task].words)].sort()
