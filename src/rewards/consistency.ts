import { ask } from "./asked/ask.ts"
import { letterOf } from "./text/scripts.ts"
import { sentencesOf } from "./text/words.ts"

const segmenter = new Intl.Segmenter(undefined, { granularity: "word" })

/** Words with a letter in them, as the language divides them. */
const wordsIn = (text: string): ReadonlyArray<string> =>
  [...segmenter.segment(text)].map(({ segment }) => segment).filter((word) => /\p{L}/u.test(word))

/** A text is judged by its beginning. */
const beginning = 20_000

/** Fewer words say too little about their language. */
const enough = 4

/** The share of words in the language's script, in sentences that are in the language; short sentences go by their script alone. */
export const shareIn = (language: string, text: string): number => {
  const letter = letterOf(language)
  let [all, right] = [0, 0]
  for (const sentence of sentencesOf(text.slice(0, beginning))) {
    const words = wordsIn(sentence)
    const fitting = words.filter((word) => letter.test(word)).length
    all += words.length
    if (fitting < enough || ask({ kind: "language", language, text: sentence }) === true) right += fitting
  }
  return all === 0 ? 0 : right / all
}
