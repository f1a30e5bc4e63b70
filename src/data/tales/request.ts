import { wordsOf } from "../rows.ts"
import { characters, counts, type Mood, moods, places, things, where } from "./lexicon.ts"

/** The request of an instruction. */
export interface Request {
  readonly mood: Mood
  readonly subject: string
  readonly object: string
  /** At most one of these two. */
  readonly place?: string
  readonly sentences?: number
}

/** Phrasings; a phrasing marked long leaves no room for a place or a number of sentences in 14 tokens. */
const phrasings: ReadonlyArray<{ readonly long: boolean; readonly say: (mood: Mood, about: string) => string }> = [
  { long: false, say: (mood, about) => `write a ${mood} story ${about} .` },
  { long: false, say: (mood, about) => `tell a ${mood} tale ${about} .` },
  { long: true, say: (mood, about) => `please write a ${mood} story ${about} .` },
  { long: true, say: (mood, about) => `can you tell a ${mood} story ${about} ?` },
  { long: true, say: (mood, about) => `i want a ${mood} tale ${about} .` },
  { long: true, say: (mood, about) => `write a story ${about} that is ${mood} .` }
]

/** All instructions that ask for this. */
export const phrase = (request: Request): ReadonlyArray<string> => {
  const [count] = Object.entries(counts).find(([, n]) => n === request.sentences) ?? []
  const extra = request.place !== undefined
    ? ` ${where(request.place)}`
    : count !== undefined
    ? ` in ${count} sentences`
    : ""
  const about = `about a ${request.subject} and a ${request.object}${extra}`
  return phrasings.filter((p) => extra === "" || !p.long).map((p) => p.say(request.mood, about))
}

/**
 * The request of a prompt, read from its words alone; for a prompt of another kind, the parts that it can find.
 * Total: never throws.
 */
export const read = (prompt: string): Partial<Request> => {
  const words = wordsOf(prompt.slice(0, 1000))
  const of = (list: ReadonlyArray<string>): string | undefined => words.find((word) => list.includes(word))
  const mood = moods.find((m) => words.includes(m))
  const subject = of(characters)
  const object = of(things)
  const place = of(places)
  const count = words.includes("sentences") ? of(Object.keys(counts)) : undefined
  return {
    ...(mood !== undefined && { mood }),
    ...(subject !== undefined && { subject }),
    ...(object !== undefined && { object }),
    ...(place !== undefined && { place }),
    ...(count !== undefined && { sentences: counts[count]! })
  }
}
