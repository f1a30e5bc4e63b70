/** Text outside a model's vocabulary, which a tokenizer turns into one and the same token. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Codec } from "../engine/engine.ts"
import { Abandoned, eachLimited } from "../model/foreign.ts"
import type { Told } from "./told.ts"

/** Words that a message shows. */
const shownWords = 5

/** How many elements of the integer arrays in an encoded row are `id`, and how many there are. */
const tally = (encoded: unknown, id: number): readonly [unknown: number, all: number] => {
  if (encoded instanceof Int32Array) {
    return [encoded.reduce((sum, one) => one === id ? sum + 1 : sum, 0), encoded.length]
  }
  if (typeof encoded !== "object" || encoded === null || ArrayBuffer.isView(encoded)) return [0, 0]
  return Object.values(encoded).map((part) => tally(part, id)).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0])
}

/** The most words of a text that are looked at for some to show. */
const lookedAt = 1000

const textsIn = (row: unknown): ReadonlyArray<string> =>
  typeof row === "string"
    ? [row]
    : typeof row === "object" && row !== null
    ? Object.values(row).flatMap(textsIn)
    : []

/** Words of a row's texts that have the token; none if the tokenizer does not take them alone. */
const wordsOf = (row: unknown, { encodeCompletion, unknown }: Codec): ReadonlyArray<string> => {
  const words = textsIn(row).flatMap((text) => text.split(/\s+/u, lookedAt)).slice(0, lookedAt)
  try {
    const has = eachLimited(words, (word) => encodeCompletion(word, { end: false }).includes(unknown!))
    return words.filter((_, i) => has[i])
  } catch (error) {
    if (error instanceof Abandoned) throw error
    return []
  }
}

/** How much of some rows a model does not know, and which words come first. */
export const unknownTo = (codec: Codec): Told => {
  let [unknown, all, rows, rowsWith] = [0, 0, 0, 0]
  const words = new Set<string>()
  return {
    add: (row, encoded) => {
      if (codec.unknown === undefined) return
      const [here, length] = tally(encoded, codec.unknown)
      rows++
      all += length
      if (here === 0) return
      unknown += here
      rowsWith++
      if (words.size < shownWords) { for (const word of wordsOf(row, codec)) words.add(word) }
    },
    tell: (stage) => {
      if (unknown === 0) return Effect.void
      const shown = [...words].slice(0, shownWords).map((word) => `“${word.slice(0, 40)}”`)
      return Console.error(
        `! ${stage}  ${unknown} of ${all} tokens, in ${rowsWith} of ${rows} rows, are outside the vocabulary (<unk>)` +
          (shown.length === 0 ? "" : `: ${shown.join(", ")}${words.size > shownWords ? ", …" : ""}`)
      )
    }
  }
}
