import { type AnyRow, promptOf } from "./rows.ts"

/** Lower-case words without punctuation. */
const words = (text: string): ReadonlyArray<string> => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

/** Every `n` consecutive words; of a shorter text, the whole. */
export const ngrams = (text: string, n: number): ReadonlyArray<string> => {
  const all = words(text)
  if (all.length === 0) return []
  return Array.from({ length: Math.max(1, all.length - n + 1) }, (_, i) => all.slice(i, i + n).join(" "))
}

/** The rows whose prompt shares no n-gram with a prompt of `against`. */
export const decontaminate = <R extends AnyRow>(
  rows: ReadonlyArray<R>,
  against: ReadonlyArray<AnyRow>,
  n: number
): ReadonlyArray<R> => {
  const held = new Set(against.flatMap((row) => ngrams(promptOf(row), n)))
  return rows.filter((row) => !ngrams(promptOf(row), n).some((one) => held.has(one)))
}
