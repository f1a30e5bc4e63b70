/** An evaluation's scores, likelihoods and paired comparisons as text and as a picture. */
import type { TopLevelSpec } from "vega-lite"
import type { Paired, Report } from "../store/report.ts"
import { markdown } from "./markdown.ts"

type Interval = { readonly value: number; readonly low: number | null; readonly high: number | null }

const percent = (x: number): string => (100 * x).toFixed(1)

const share = ({ high, low, value }: Interval): string =>
  `${percent(value)} %${low === null ? "" : ` [${percent(low)}, ${percent(high!)}]`}`

const within = ({ high, low, value }: Interval, of: (x: number) => number): string =>
  `${of(value).toFixed(3)}${low === null ? "" : ` [${of(low).toFixed(3)}, ${of(high!).toFixed(3)}]`}`

/** One score of a model by a verifier. */
interface Cell extends Interval {
  readonly model: string
  readonly verifier: string
  readonly name: string
}

const cellsOf = ({ completionsPerPrompt: n = 1, models }: Report): ReadonlyArray<Cell> =>
  models.flatMap(({ name: model, scores = {} }) =>
    Object.entries(scores).flatMap(([verifier, { majority, mean, pass }]) => [
      { model, verifier, name: mean.by === "Wilson" || pass.length > 0 ? "pass@1" : "mean", ...mean },
      ...pass.filter(({ k }) => k > 1).map((one) => ({ model, verifier, name: `pass@${one.k}`, ...one })),
      ...(majority === undefined ? [] : [{ model, verifier, name: `maj@${n}`, ...majority }])
    ])
  )

/** Tables of scores and of likelihoods; empty where there are none. */
export const scoreTables = (report: Report): ReadonlyArray<string> => {
  const cells = cellsOf(report)
  const names = [...new Set(cells.map(({ name }) => name))]
  const texts = report.models.flatMap(({ name, text }) => text === undefined ? [] : [{ name, text }])
  return [
    ...(cells.length === 0 ? [] : [markdown([
      ["model", "verifier", ...names.map((name) => `${name} [95 %]`)],
      ...report.models.flatMap(({ name: model, scores = {} }) =>
        Object.keys(scores).map((verifier) => [
          model,
          verifier,
          ...names.map((name) => {
            const found = cells.find((cell) => cell.model === model && cell.verifier === verifier && cell.name === name)
            return found === undefined ? "–" : share(found)
          })
        ])
      )
    ])]),
    ...(texts.length === 0 ? [] : [markdown([
      ["model", "perplexity per token [95 %]", "bits per byte [95 %]", "documents", "tokens", "bytes"],
      ...texts.map(({ name, text }) => [
        name,
        within(text.natsPerToken, Math.exp),
        within(text.natsPerByte, (nats) => nats / Math.LN2),
        ...[text.documents, text.tokens, text.bytes].map((count) => count.toLocaleString("en"))
      ])
    ])])
  ]
}

const signed = (x: number, digits: number): string => `${x >= 0 ? "+" : ""}${x.toFixed(digits)}`

const pair = ({ from, high, low, mcNemar, n, of, resamples, to, value }: Paired): string => {
  const ofText = of === "nats per byte"
  const [scale, digits] = ofText ? [1, 4] : [100, 1]
  const interval = low === null ? "" : ` [${signed(scale * low, digits)}, ${signed(scale * high!, digits)}]`
  const tested = mcNemar === null
    ? ""
    : `; ${mcNemar.gained} gained, ${mcNemar.lost} lost, McNemar's exact p = ${mcNemar.p.toPrecision(2)}`
  return `${of}, ${to} − ${from}: ${signed(scale * value, digits)}${ofText ? "" : " points"}${interval} on the same ${
    n.toLocaleString("en")
  } ${ofText ? "documents" : "prompts"} (bootstrap, ${resamples.toLocaleString("en")} resamples${tested}).`
}

/** How the intervals were made, and a sentence for each comparison. */
export const scoreNotes = (report: Report): ReadonlyArray<string> => {
  const made = new Set(
    report.models.flatMap(({ scores = {} }) =>
      Object.values(scores).flatMap((
        { majority, mean, pass }
      ) => [mean, ...pass, ...majority === undefined ? [] : [majority]])
        .map(({ by }) => by)
    )
  )
  if (report.models.some(({ text }) => text !== undefined)) made.add("Student's t")
  return [
    ...(made.size === 0 ? [] : [`In brackets: intervals of 95 % over prompts or documents (${[...made].join("; ")}).`]),
    ...(report.paired ?? []).map(pair)
  ]
}

/** Every score with its interval, a panel for each verifier; null where there are none. */
export const scorePlot = (report: Report): TopLevelSpec | null => {
  const cells = cellsOf(report)
  if (cells.length === 0) return null
  const x = { field: "value", type: "quantitative" as const, title: "share of completions [95 %]" }
  const y = { field: "model", type: "nominal" as const, title: null, sort: null }
  const color = { field: "name", type: "nominal" as const, title: null }
  const yOffset = { field: "name", type: "nominal" as const }
  return {
    title: "Scores by verifiers",
    data: { values: cells.map((cell) => ({ ...cell, low: cell.low ?? cell.value, high: cell.high ?? cell.value })) },
    facet: { row: { field: "verifier", type: "nominal", title: null } },
    spec: {
      width: 420,
      height: { step: 18, for: "position" },
      layer: [
        { mark: "rule", encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y, yOffset, color } },
        { mark: { type: "point", filled: true }, encoding: { x, y, yOffset, color } }
      ]
    }
  } as TopLevelSpec
}
