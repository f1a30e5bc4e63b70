import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { join } from "node:path"
import type * as Artifact from "../../dsl/Artifact.ts"
import { label, mermaid, naming, text } from "../../dsl/Render.ts"
import { initialOf, outputsOf } from "../../dsl/Stage.ts"
import { told } from "../data/about.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import type { Made } from "../store/made.ts"
import { events as eventsOf } from "../store/runDirectory.ts"
import type { Event } from "../store/runLog.ts"
import { alarms } from "./alarms.ts"
import { fitted } from "./fitted.ts"
import { judged } from "./judged.ts"
import { passed } from "./passed.ts"
import { unmeasured } from "./unmeasured.ts"
import { intervalsOf } from "./ledger.ts"
import { within } from "./ledgerText.ts"
import { specs, svg } from "./plots.ts"
import { scorePlot } from "./scores.ts"
import { markdown, notes, sideBySide, table } from "./table.ts"

const ledgerTable = (events: ReadonlyArray<Event>): string =>
  markdown([
    [
      "stage",
      "step",
      "KL(policy‖other), nats/seq [95 %]",
      "nats/token [95 %]",
      "cap",
      "against",
      "other model",
      "estimator",
      "n"
    ],
    ...events.flatMap((event) => {
      if (event._tag !== "Measured") return []
      const { measurement } = event
      const { against = "initial", cap, estimator, from, mean, perToken, samples, stage, standardError, step } =
        measurement
      const { interval, perTokenInterval } = intervalsOf(measurement)
      const cells = [
        `${mean.toFixed(3)} ± ${standardError.toFixed(3)}${within(interval)}`,
        `${perToken.toFixed(4)}${within(perTokenInterval, 4)}`,
        cap ?? "none",
        against,
        from,
        estimator,
        samples
      ]
      return [[stage, step, ...cells].map(String)]
    })
  ])

/** The files that rows were read from, each once. */
const data = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const lines = new Set(events.flatMap((event) => event._tag === "Read" ? told(event) : []))
  return lines.size === 0 ? [] : ["## Data", "", ...[...lines].map((line) => `- ${line}`), ""]
}

/** The effect of rounding to bf16, from the steps where it was measured; empty without rounding. */
const precision = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const rows = events.flatMap((event) =>
    event._tag !== "Step" ? [] : Object.entries(event.metrics).flatMap(([name, mean]) => {
      const of = /^bf16\/(.*)_gap_mean$/u.exec(name)?.[1]
      const max = event.metrics[`bf16/${of}_gap_max`]
      return of === undefined || max === undefined
        ? []
        : [[event.stage, String(event.step), of, mean.toExponential(2), max.toExponential(2)]]
    })
  )
  return rows.length === 0 ? [] : [
    "## Precision",
    "",
    "Products in bf16; change of each token's log-probability (nats) or value, against f32 on the same batch:",
    "",
    markdown([["stage", "step", "of", "mean gap", "largest gap"], ...rows]),
    ""
  ]
}

/** The tightest KL cap that was measured against, nats per sequence. */
export const capOf = (events: ReadonlyArray<Event>): number | null => {
  const caps = events.flatMap((event) => event._tag === "Measured" ? event.measurement.cap ?? [] : [])
  return caps.length === 0 ? null : Math.min(...caps)
}

/** What a finished run without an `Evaluate` made, with the last KL that was measured of it. */
export const outputs = (root: Artifact.Any, events: ReadonlyArray<Event>): string => {
  const measured = new Map(
    events.flatMap((event) =>
      event._tag === "Measured" && (event.measurement.against ?? "initial") === "initial"
        ? [[event.measurement.stage, event.measurement] as const]
        : []
    )
  )
  const named = Object.entries(outputsOf(root))
  const all = named.length === 0 ? [[label(initialOf(root)), root] as const] : named
  return markdown([
    ["made", "by", ...measured.size === 0 ? [] : ["last KL measured, nats/seq", "from"]],
    ...all.map(([name, of]) => {
      const { node } = initialOf(of)
      const kl = measured.get(label(initialOf(of)))
      const cells = kl === undefined ? ["–", "–"] : [`${kl.mean.toFixed(3)} ± ${kl.standardError.toFixed(3)}`, kl.from]
      return [name, node.op, ...measured.size === 0 ? [] : cells]
    })
  ])
}

const outcome = (root: Artifact.Any, events: ReadonlyArray<Event>, made: Made | null): string => {
  if (made?._tag === "Report") {
    const { report } = made
    const shown = report.prompts.length === 0 ? [] : ["", "```text", sideBySide(report), "```"]
    return [table(report, capOf(events)), "", ...notes(report), ...shown].join("\n")
  }
  if (made !== null) return `Finished.\n\n${outputs(root, events)}`
  const failed = events.findLast((event) => event._tag === "Failed")
  return failed === undefined ? "Not finished." : `**${failed.error}** — ${failed.message}`
}

/** Writes the files derived from the events of a run: ledger, metrics, samples, plots and the report. */
export const writeReport = Effect.fn("writeReport")(function*(
  folder: string,
  root: Artifact.Any,
  /** Its result, once it is finished. */
  made: Made | null,
  /** Planned against spent. */
  spending: string | null = null
) {
  const fs = yield* FileSystem.FileSystem
  const events = yield* eventsOf(folder)
  const lines = (values: ReadonlyArray<unknown>) => values.map((value) => `${JSON.stringify(value)}\n`).join("")
  const measurements = events.flatMap((event) =>
    event._tag === "Measured" ? [{ ...event.measurement, ...intervalsOf(event.measurement) }] : []
  )
  yield* writeFileAtomic(join(folder, "ledger.json"), `${JSON.stringify(measurements, null, 2)}\n`)
  yield* writeFileAtomic(join(folder, "metrics.jsonl"), lines(events.filter(({ _tag }) => _tag === "Step")))
  yield* writeFileAtomic(join(folder, "samples.jsonl"), lines(events.filter(({ _tag }) => _tag === "Sampled")))
  yield* fs.makeDirectory(join(folder, "plots"), { recursive: true })
  const scores = made?._tag === "Report" ? scorePlot(made.report) : null
  const plots = [...specs(events), ...(scores === null ? [] : [["scores.svg", scores] as const])]
  for (const [name, spec] of plots) {
    yield* writeFileAtomic(join(folder, "plots", name), yield* Effect.promise(() => svg(spec)))
  }
  const found = naming(root)(
    [
      "# Run report",
      "",
      outcome(root, events, made),
      "",
      "## KL ledger",
      "",
      measurements.length === 0
        ? "No measurements."
        : `A cap and a measurement stand side by side; neither bounds the other. In brackets: 95 % intervals, Student's t.\n\n${
          ledgerTable(events)
        }`,
      "",
      ...[...fitted(events), ...unmeasured(events), ...passed(events), ...alarms(events), ...judged(events)].flatMap((
        line
      ) => [line, ""]),
      ...data(events),
      ...(spending === null ? [] : ["## Spending", "", spending, ""]),
      ...precision(events)
    ].join("\n")
  )
  yield* writeFileAtomic(
    join(folder, "report.md"),
    [
      found,
      "## Curves",
      "",
      ...plots.map(([name]) => `![${name}](plots/${name})`),
      "",
      "## Description",
      "",
      "```mermaid",
      mermaid(root),
      "```",
      "",
      "```text",
      text(root),
      "```",
      ""
    ].join("\n")
  )
})
