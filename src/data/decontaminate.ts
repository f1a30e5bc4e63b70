import type { Decontaminate } from "../../dsl/stages/Decontaminate.ts"
import { selected } from "./lazyArray.ts"
import { type AnyRow, promptOf } from "./rows.ts"

/** Lower-case words without punctuation. */
const words = (text: string): ReadonlyArray<string> => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

/** Every `n` consecutive words; of a shorter text, the whole. */
export const ngrams = (text: string, n: number): ReadonlyArray<string> => {
  const all = words(text)
  if (all.length === 0) return []
  return Array.from({ length: Math.max(1, all.length - n + 1) }, (_, i) => all.slice(i, i + n).join(" "))
}

/** The rows whose prompt shares too much with a prompt of `against`; see `dsl/stages/Decontaminate.ts`. */
export const decontaminate = <R extends AnyRow>(
  rows: ReadonlyArray<R>,
  against: ReadonlyArray<AnyRow>,
  { ngram, overlap = 0 }: Pick<Decontaminate, "ngram"> & { readonly overlap?: number }
): ReadonlyArray<R> => {
  const n = ngram === "whole" ? Infinity : ngram
  const runsOf = (text: string) => ngrams(text, n)
  /** Of each run the places where it stands: the number of the prompt, and of its first word there. */
  const held = new Map<string, Array<readonly [prompt: number, word: number]>>()
  const lengths = against.map((row, prompt) => {
    const runs = runsOf(promptOf(row))
    for (const [word, run] of runs.entries()) {
      const places = held.get(run)
      if (places === undefined) held.set(run, [[prompt, word]])
      else places.push([prompt, word])
    }
    return words(promptOf(row)).length
  })
  return selected(rows, (row) => {
    const covered = new Map<number, Set<number>>()
    for (const run of new Set(runsOf(promptOf(row)))) {
      for (const [prompt, word] of held.get(run) ?? []) {
        const of = covered.get(prompt) ?? new Set()
        covered.set(prompt, of)
        for (let i = 0; i < Math.min(n, lengths[prompt]!); i++) of.add(word + i)
      }
    }
    return ![...covered].some(([prompt, of]) => of.size > overlap * lengths[prompt]!)
  })
}
