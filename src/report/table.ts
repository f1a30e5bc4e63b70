import type { Estimate, ModelReport, Report } from "../store/report.ts"
import { markdown } from "./markdown.ts"
import { scoreNotes, scoreTables } from "./scores.ts"

export { markdown }

const number = (x: number): string => x.toFixed(2)
const shown = (x: Estimate | null): string =>
  x === null
    ? "–"
    : Number.isFinite(x.standardError)
    ? `${number(x.mean)} ± ${number(x.standardError)}`
    : number(x.mean)

const share = (x: Estimate | undefined): string =>
  x === undefined ? "–" : `${(100 * x.mean).toFixed(1)} ± ${(100 * x.standardError).toFixed(1)} %`

const lengthControlled = (x: NonNullable<ModelReport["winRate"]> | undefined): string => {
  if (x?.lengthControlled === undefined) return "–"
  const { high, low, value } = x.lengthControlled
  return `${(100 * value).toFixed(1)} %${
    low === null ? "" : ` [${(100 * low).toFixed(1)}, ${(100 * high!).toFixed(1)}]`
  }`
}

/** The closing tables of an evaluation. `cap` is the KL cap in nats, if any. */
export const table = (report: Report, cap: number | null): string => {
  const proxy = report.models.some((model) => model.proxy !== null)
  const gold = report.models.some((model) => model.gold !== null)
  const against = report.models.find(({ winRate }) => winRate !== undefined)?.winRate?.against
  const kl = report.models.some((model) => model.kl !== null || model.klBound !== undefined)
  // Without prompts there are no completions.
  if (report.models.every(({ length }) => length.n === 0)) return scoreTables(report).join("\n\n")
  const main = markdown([
    [
      "model",
      ...(gold ? ["gold reward"] : []),
      ...(proxy ? ["proxy reward"] : []),
      ...(against === undefined ? [] : [`wins against ${against}`, "at equal length"]),
      ...(kl ? [`KL from initial, nats/seq${cap === null ? "" : ` (cap ${cap})`}`] : []),
      "length",
      "finished"
    ],
    ...report.models.map((model) => [
      model.name,
      ...(gold ? [shown(model.gold)] : []),
      ...(proxy ? [shown(model.proxy)] : []),
      ...(against === undefined ? [] : [share(model.winRate), lengthControlled(model.winRate)]),
      ...(kl
        ? [model.kl === null && model.klBound !== undefined ? `≤ ${number(model.klBound)}` : shown(model.kl)]
        : []),
      number(model.length.mean),
      `${(100 * model.finished).toFixed(0)} %`
    ])
  ])
  return [main, ...scoreTables(report)].join("\n\n")
}

/** Sentences under the table: reward-model accuracy, how intervals were made, and paired gains. */
export const notes = (report: Report): ReadonlyArray<string> => [
  ...scoreNotes(report),
  ...(report.rewardAccuracy === null ? [] : [
    `Reward model: ${(100 * report.rewardAccuracy.mean).toFixed(1)} ± ${
      (100 * report.rewardAccuracy.standardError).toFixed(1)
    } % of ${report.rewardAccuracy.n} held-out pairs ordered as the labeler did.`
  ]),
  ...report.goldGain.map(({ difference, from, to }) => {
    const { mean, n, standardError } = difference
    const errors = standardError > 0 ? ` (${(mean / standardError).toFixed(1)} standard errors)` : ""
    return `Gold, ${to} − ${from}: ${mean >= 0 ? "+" : ""}${shown(difference)} on the same ${n} prompts${errors}.`
  })
]

/** Completions of every model to the same prompts. */
export const sideBySide = (report: Report): string =>
  report.prompts.map((prompt, i) =>
    [`“${prompt}”`, ...report.models.map(({ completions, name }) => `  ${name}: ${completions[i] ?? ""}`)].join("\n")
  ).join("\n")
