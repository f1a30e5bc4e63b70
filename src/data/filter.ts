import * as Effect from "effect/Effect"
import type { Filter } from "../../dsl/stages/Filter.ts"
import type { Encoding } from "./encode.ts"
import { picked, selected } from "./lazyArray.ts"
import { survey } from "./survey.ts"
import { type AnyRow, wordsOf, writtenIn } from "./rows.ts"

const ended = (row: AnyRow): boolean =>
  !("ended" in row) || row.ended === undefined || row.ended === true ||
  (row.ended !== false && row.ended.chosen && row.ended.rejected)

/** The rows of so many tokens, and the mistakes of rows that cannot be encoded. */
export const byTokens = <R extends AnyRow>(
  rows: ReadonlyArray<R>,
  encoding: Encoding<R, unknown>,
  { maxTokens = Infinity, minTokens = 0 }: Pick<Filter, "maxTokens" | "minTokens">
) => {
  const kept = new Uint32Array(rows.length)
  let count = 0
  const every = { ...encoding, room: 0, most: Infinity, context: Infinity, truncation: "error" } as const
  const looked = survey(rows, every, (_, encoded, place) => {
    const tokens = encoding.tokens(encoded)
    if (tokens >= minTokens && tokens <= maxTokens) kept[count++] = place
  })
  return Effect.map(looked, ({ troubles }) => ({ kept: picked(rows, kept.slice(0, count)), troubles }))
}

/** The rows that pass every criterion on their text; see `dsl/stages/Filter.ts`. */
export const filter = <R extends AnyRow>(rows: ReadonlyArray<R>, criteria: Omit<Filter, "_tag">): ReadonlyArray<R> => {
  const { maxLengthRatio, maxWords, minMargin, minScore = -Infinity, minWords } = criteria
  // Texts may be long and rows many: words are counted where they matter.
  const counted = minWords !== undefined || maxWords !== undefined
  const long = (text: string): boolean => {
    const { length } = wordsOf(text)
    return length >= (minWords ?? 0) && length <= (maxWords ?? Infinity)
  }
  const alike = (row: AnyRow): boolean => {
    const words = writtenIn(row).map((text) => wordsOf(text).length)
    return Math.max(...words) <= maxLengthRatio! * Math.min(...words)
  }
  return selected(
    rows,
    (row) =>
      (minMargin === undefined || ("margin" in row && row.margin !== undefined && row.margin >= minMargin)) &&
      (maxLengthRatio === undefined || alike(row)) &&
      (!counted || writtenIn(row).every(long)) &&
      (!("score" in row) || row.score >= minScore) &&
      (criteria.ended !== true || ended(row))
  )
}
