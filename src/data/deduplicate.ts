import type { Deduplicate } from "../../dsl/stages/Deduplicate.ts"
import { ngrams } from "./decontaminate.ts"
import { selected } from "./lazyArray.ts"
import { hashed, likely } from "./minHash.ts"
import { numbersByHash } from "./numbersByHash.ts"
import { type AnyRow, normalised, promptOf, writtenIn } from "./rows.ts"

/** |A ∩ B| / |A ∪ B|. */
export const jaccard = (a: ReadonlySet<string>, b: ReadonlySet<string>): number => {
  let both = 0
  for (const one of a) if (b.has(one)) both++
  return a.size + b.size === 0 ? 1 : both / (a.size + b.size - both)
}

/** The first of equal rows, or of rows with equal prompts, up to case and white space; with `near` no row that is nearly a kept row. */
export const deduplicate = <R extends AnyRow>(
  rows: ReadonlyArray<R>,
  { by, near }: Pick<Deduplicate, "by" | "near">
): ReadonlyArray<R> => {
  const texts = (row: R) => (by === "prompt" ? [promptOf(row)] : [promptOf(row), ...writtenIn(row)])
  const textOf = (row: R): string => JSON.stringify(texts(row).map(normalised))
  const seen = numbersByHash()
  const different = selected(rows, (row, i) => {
    const text = textOf(row)
    const hash = hashed(text)
    if (seen.find(hash, (earlier) => textOf(rows[earlier]!) === text) !== undefined) return false
    seen.put(hash, i)
    return true
  })
  if (near === undefined) return different
  const find = likely(near.similarity)
  const runsOf = (row: R) => new Set(texts(row).flatMap((text) => ngrams(text, near.ngram)))
  return selected(different, (row, i) => {
    const runs = runsOf(row)
    return find(runs, i, (kept) => jaccard(runs, runsOf(different[kept]!)) >= near.similarity) === undefined
  })
}
