import { stream } from "../../sampling/random.ts"
import type { DemonstrationRow, PromptRow, TextRow } from "../rows.ts"
import { grammar } from "./grammar.ts"
import { characters, counts, moods, places, things, where } from "./lexicon.ts"
import { phrase, type Request } from "./request.ts"
import { mediocre, perfect, type Skill, wish, write } from "./story.ts"

/**
 * The built-in task: instructions such as `write a happy story about a dog and a ball .`, and tiny stories that answer
 * them. A language of about 150 words, so that a model of 0.2 M parameters can learn it from scratch in half a minute,
 * with the stages of InstructGPT (Ouyang et al. 2022, arXiv 2203.02155): text to pretrain on has no instructions;
 * demonstrations follow them only half (`mediocre`); the gold reward is `src/data/tales/gold.ts`.
 *
 * Everything is a pure function of a seed.
 */

export type TalesSplit = "train" | "held"

/**
 * About a sixth of the pairs of a subject and an object is held out, in every mood, place, length and phrasing. In every mood: if a
 * pair were held out in one mood only, training would show it in the other, and the mood of held prompts could be guessed wrongly.
 */
const isHeld = (subject: string, object: string): boolean =>
  (characters.indexOf(subject) + things.indexOf(object)) % 6 === 5

const instructions = (split: TalesSplit): ReadonlyArray<PromptRow> =>
  moods.flatMap((mood) =>
    characters.flatMap((subject) =>
      things.flatMap((object) => {
        if (isHeld(subject, object) !== (split === "held")) return []
        const plain = { mood, subject, object }
        const requests: ReadonlyArray<Request> = [
          plain,
          ...places.map((place) => ({ ...plain, place })),
          ...Object.values(counts).map((sentences) => ({ ...plain, sentences }))
        ]
        // The two words that every request names: a verifier can look for them.
        return requests.flatMap(phrase).map((prompt) => ({ prompt, answer: `${subject} ${object}` }))
      })
    )
  )

/** Instructions, all different; the two splits have no pair of subject and object in common. */
export const prompts = (split: TalesSplit, seed = "prompts", count = Infinity): ReadonlyArray<PromptRow> =>
  stream(`tales/prompts/${split}/${seed}`).shuffle([...instructions(split)]).slice(0, count)

/**
 * Short stories to pretrain on, each under a title that it keeps to (`a sad story about a dog and a ball : …`): what an
 * instruction names, a title names in the same order, so that a model learns to copy it before it sees an instruction.
 */
export const text = (seed: string, count: number): ReadonlyArray<TextRow> =>
  Array.from({ length: count }, (_, i) => {
    const key = `tales/text/${seed}/${i}`
    const random = stream(key)
    const request = { ...wish(`${key}/wish`), sentences: 2 + random.int(3) }
    const place = request.place === undefined ? "" : ` ${where(request.place)}`
    const title = `a ${request.mood} story about a ${request.subject} and a ${request.object}${place}`
    return { text: `${title} : ${write(random, request, perfect)}` }
  })

/** Answers of writers of a given skill to training prompts, half of which ask for a place or a length too. */
export const demonstrations = (
  seed: string,
  count: number,
  skill: Skill = mediocre
): ReadonlyArray<DemonstrationRow> => {
  const rows: Array<DemonstrationRow> = []
  for (let n = 0; rows.length < count; n++) {
    const key = `tales/demonstrations/${seed}/${n}`
    const request = wish(`${key}/wish`)
    if (isHeld(request.subject, request.object)) continue
    const random = stream(key)
    const ways = phrase(request)
    rows.push({ prompt: ways[random.int(ways.length)]!, completion: write(random, request, skill) })
  }
  return rows
}

/** Every word of the task, for a word-level tokenizer: stories, titles and instructions. Sorted. */
export const words = (): ReadonlyArray<string> => {
  const spoken = Object.values(grammar).flat().flatMap((alternative) => alternative.split(" "))
    .filter((symbol) => /^[a-z.]+$/u.test(symbol))
  const asked = [...prompts("train"), ...prompts("held")].flatMap((row) => row.prompt.split(" "))
  return [...new Set([...spoken, ...asked, "the", "end", ":", "."])].sort()
}
