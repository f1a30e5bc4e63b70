import type { Estimate, Report } from "../store/report.ts"

const number = (x: number): string => x.toFixed(2)
const shown = (x: Estimate | null): string =>
  x === null
    ? "–"
    : Number.isFinite(x.standardError)
    ? `${number(x.mean)} ± ${number(x.standardError)}`
    : number(x.mean)

const share = (x: Estimate | undefined): string =>
  x === undefined ? "–" : `${(100 * x.mean).toFixed(1)} ± ${(100 * x.standardError).toFixed(1)} %`

/** Rows of cells to text with aligned columns, as a Markdown table. */
export const markdown = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = [], ...body] = rows
  const widths = head.map((_, i) => Math.max(...rows.map((row) => [...row[i] ?? ""].length)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, i) => cell + " ".repeat(Math.max(0, widths[i]! - [...cell].length))).join(" | ")} |`
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...body.map(line)].join("\n")
}

/** The closing table of an evaluation. `cap` is the KL cap in nats, if any. */
export const table = (report: Report, cap: number | null): string => {
  const proxy = report.models.some((model) => model.proxy !== null)
  const gold = report.models.some((model) => model.gold !== null)
  const against = report.models.find(({ winRate }) => winRate !== undefined)?.winRate?.against
  const verifiers = Object.keys(report.models[0]?.verdicts ?? {})
  return markdown([
    [
      "model",
      ...(gold ? ["gold reward"] : []),
      ...verifiers,
      ...(proxy ? ["proxy reward"] : []),
      ...(against === undefined ? [] : [`wins against ${against}`]),
      `KL from initial, nats/seq${cap === null ? "" : ` (cap ${cap})`}`,
      "length",
      "finished"
    ],
    ...report.models.map((model) => [
      model.name,
      ...(gold ? [shown(model.gold)] : []),
      ...verifiers.map((verifier) => shown(model.verdicts![verifier] ?? null)),
      ...(proxy ? [shown(model.proxy)] : []),
      ...(against === undefined ? [] : [share(model.winRate)]),
      model.kl === null && model.klBound !== undefined ? `≤ ${number(model.klBound)}` : shown(model.kl),
      number(model.length.mean),
      `${(100 * model.finished).toFixed(0)} %`
    ])
  ])
}

/** Sentences under the table: reward-model accuracy and paired gains. */
export const notes = (report: Report): ReadonlyArray<string> => [
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
