import type { Deduplicate } from "../../dsl/stages/Deduplicate.ts"
import { ngrams } from "./decontaminate.ts"
import { likely } from "./minHash.ts"
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
  const seen = new Set<string>()
  const different = rows.filter((row) => seen.size < seen.add(JSON.stringify(texts(row).map(normalised))).size)
  if (near === undefined) return different
  const find = likely(near.similarity)
  return different.filter((row) => {
    const runs = new Set(texts(row).flatMap((text) => ngrams(text, near.ngram)))
    return find(runs, (kept) => jaccard(runs, kept) >= near.similarity) === undefined
  })
}
