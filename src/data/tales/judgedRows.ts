import { tales as gold } from "./gold.ts"
import { stream } from "../../sampling/random.ts"
import type { RankingRow, StepwiseRow, UnpairedPreferenceRow } from "../rows.ts"
import { read, type Request } from "./request.ts"
import { mediocre, write } from "./story.ts"
import { demonstrations } from "./tales.ts"

/**
 * Answers of mediocre writers to training prompts of the built-in task, judged by its gold reward without noise or taste: what the
 * losses of reward models learn from besides pairs. Pure functions of a seed.
 */

/** Points from which on an answer counts as right. */
const right = 3.5

const answers = (seed: string, count: number) => demonstrations(`judged/${seed}`, count, mediocre)

/** Four answers to each prompt, best first; answers worth the same tie. */
export const rankings = (seed: string, count: number): ReadonlyArray<RankingRow> => {
  return answers(seed, count).map(({ prompt }, row) => {
    const request = read(prompt) as Request
    const written = Array.from({ length: 4 }, (_, i) => {
      const completion = write(stream(`tales/judged/${seed}/${row}/${i}`), request, mediocre)
      return { completion, score: gold(prompt, completion) }
    }).sort((a, b) => b.score - a.score)
    return {
      prompt,
      completions: written.map(({ completion }) => completion),
      ranks: written.map(({ score }) => 1 + written.findIndex((other) => other.score === score))
    }
  })
}

/** An answer each: right from 3.5 points on. */
export const unpaired = (seed: string, count: number): ReadonlyArray<UnpairedPreferenceRow> => {
  return answers(seed, count).map(({ completion, prompt }) => {
    return { prompt, completion, label: gold(prompt, completion) >= right }
  })
}

/** The sentences of an answer without their full stops (the separator is " ."), right when the story is worth no less with it. */
export const stepwise = (seed: string, count: number): ReadonlyArray<StepwiseRow> => {
  return answers(seed, count).map(({ completion, prompt }) => {
    const completions = completion.split(" .").map((sentence) => sentence.trim()).filter((sentence) => sentence !== "")
    const upTo = (n: number): number =>
      gold(prompt, completions.slice(0, n).map((sentence) => `${sentence} .`).join(" "))
    return { prompt, completions, labels: completions.map((_, i) => upTo(i + 1) >= upTo(i)) }
  })
}
