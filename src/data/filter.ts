import type { Filter } from "../../dsl/stages/Filter.ts"
import { type AnyRow, wordsOf, writtenIn } from "./rows.ts"

const ended = (row: AnyRow): boolean =>
  !("ended" in row) || row.ended === undefined || row.ended === true ||
  (row.ended !== false && row.ended.chosen && row.ended.rejected)

/** The rows that pass every criterion; see `dsl/stages/Filter.ts`. */
export const filter = <R extends AnyRow>(rows: ReadonlyArray<R>, criteria: Omit<Filter, "_tag">): ReadonlyArray<R> => {
  const { maxWords = Infinity, minScore = -Infinity, minWords = 0 } = criteria
  return rows.filter((row) =>
    writtenIn(row).every((text) => wordsOf(text).length >= minWords && wordsOf(text).length <= maxWords) &&
    (!("score" in row) || row.score >= minScore) &&
    (criteria.ended !== true || ended(row))
  )
}
