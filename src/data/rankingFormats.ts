import { Unfit } from "./encode.ts"
import { at, type Json, promptText, type RowFormat } from "./formats.ts"
import type { RankingRow, StepwiseRow } from "./rows.ts"

/** A JSON object as judged answers: rankings, and TRL's "unpaired preference" and "stepwise supervision". */

const completionsOf = (row: Json, format: RowFormat): ReadonlyArray<string> => {
  const value = at(row, "completions", format)
  if (Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")) return value
  throw new Unfit(
    '"completions" is not a list of texts',
    'Give a list of strings, or say where it is, as in fields: { completions: "…" }.'
  )
}

/** As many as there are completions, each passing `is`; undefined when the row has none. */
const perCompletion = <A>(
  row: Json,
  field: "scores" | "labels",
  format: RowFormat,
  count: number,
  is: (value: unknown) => value is A,
  what: string
): ReadonlyArray<A> | undefined => {
  const value = at(row, field, format)
  if (value === undefined) return undefined
  const remedy = `Give ${what} for each completion.`
  if (!Array.isArray(value) || value.length !== count) {
    throw new Unfit(`"${field}" is not a list of ${count}, one for each completion`, remedy)
  }
  if (value.every(is)) return value
  throw new Unfit(`"${field}" holds something else`, remedy)
}

const isScore = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)
const isLabel = (value: unknown): value is boolean | number =>
  typeof value === "boolean" || value === 1 || value === 0 || value === -1

/**
 * `prompt` and `completions`, best first; or in any order with `scores`, higher is better and equal scores tie. At least two
 * completions.
 */
export const rankingRow = (row: Json, format: RowFormat): RankingRow => {
  const prompt = promptText(row, format)
  const completions = completionsOf(row, format)
  if (completions.length < 2) throw new Unfit("a ranking of one completion", "Give at least two, or leave the row out.")
  const scores = perCompletion(row, "scores", format, completions.length, isScore, "a number")
  if (scores === undefined) return { prompt, completions, ranks: completions.map((_, i) => i + 1) }
  const order = completions.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b)
  const sorted = order.map((i) => scores[i]!)
  return {
    prompt,
    completions: order.map((i) => completions[i]!),
    ranks: sorted.map((score) => 1 + sorted.indexOf(score))
  }
}

/** `prompt`, `completions` (the steps of an answer) and `labels`: true or false, or 1, 0 and −1. */
export const stepwiseRow = (row: Json, format: RowFormat): StepwiseRow => {
  const prompt = promptText(row, format)
  const completions = completionsOf(row, format)
  const what = "true or false, or 1, 0 or −1,"
  const labels = perCompletion(row, "labels", format, completions.length, isLabel, what)
  if (labels === undefined) throw new Unfit('no field "labels"', `Give ${what} for each step.`)
  return { prompt, completions, labels }
}
