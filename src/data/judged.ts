import type { Format, Json, Unfit } from "./formats.ts"
import { isUnfit, promptText, unfit, valueAt } from "./formats.ts"
import type { RankingRow, StepwiseRow } from "./rows.ts"

/** A JSON object as judged answers: rankings, and TRL's "unpaired preference" and "stepwise supervision". */

const isTexts = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")

const completionsOf = (row: Json, format: Format): ReadonlyArray<string> | Unfit => {
  const value = valueAt(row, "completions", format)
  return isTexts(value)
    ? value
    : unfit(
      '"completions" is not a list of texts',
      'Give a list of strings, or say where it is, as in fields: { completions: "…" }.'
    )
}

/** As many as there are completions, each passing `is`; undefined when the row has none. */
const perCompletion = <A>(
  row: Json,
  field: "scores" | "labels",
  format: Format,
  count: number,
  is: (value: unknown) => value is A,
  what: string
): ReadonlyArray<A> | undefined | Unfit => {
  const value = valueAt(row, field, format)
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length !== count) {
    return unfit(`"${field}" is not a list of ${count}, one for each completion`, `Give ${what} for each completion.`)
  }
  return value.every(is) ? value : unfit(`"${field}" holds something else`, `Give ${what} for each completion.`)
}

const isScore = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)
const isLabel = (value: unknown): value is boolean | number =>
  typeof value === "boolean" || value === 1 || value === 0 || value === -1

/**
 * `prompt` and `completions`, best first; or in any order with `scores`, higher is better and equal scores tie. At least two
 * completions.
 */
export const rankingRow = (row: Json, format: Format): RankingRow | Unfit => {
  const prompt = promptText(row, format)
  if (typeof prompt !== "string") return prompt
  const completions = completionsOf(row, format)
  if (isUnfit(completions)) return completions
  if (completions.length < 2) return unfit("a ranking of one completion", "Give at least two, or leave the row out.")
  const scores = perCompletion(row, "scores", format, completions.length, isScore, "a number")
  if (scores !== undefined && isUnfit(scores)) return scores
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
export const stepwiseRow = (row: Json, format: Format): StepwiseRow | Unfit => {
  const prompt = promptText(row, format)
  if (typeof prompt !== "string") return prompt
  const completions = completionsOf(row, format)
  if (isUnfit(completions)) return completions
  const what = "true or false, or 1, 0 or −1,"
  const labels = perCompletion(row, "labels", format, completions.length, isLabel, what)
  if (labels === undefined) return unfit('no field "labels"', `Give ${what} for each step.`)
  return isUnfit(labels) ? labels : { prompt, completions, labels }
}
