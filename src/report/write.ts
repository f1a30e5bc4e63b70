import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { join } from "node:path"
import type * as Artifact from "../../dsl/Artifact.ts"
import { mermaid, naming, text } from "../../dsl/Render.ts"
import { told } from "../data/about.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import type { Report } from "../store/report.ts"
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

const outcome = (events: ReadonlyArray<Event>, report: Report | null): string => {
  if (report !== null) {
    const shown = report.prompts.length === 0 ? [] : ["", "```text", sideBySide(report), "```"]
    return [table(report, capOf(events)), "", ...notes(report), ...shown].join("\n")
  }
  const failed = events.findLast((event) => event._tag === "Failed")
  return failed === undefined ? "Not finished." : `**${failed.error}** — ${failed.message}`
}

/** Writes the files derived from the events of a run: ledger, metrics, samples, plots and the report. */
export const writeReport = Effect.fn("writeReport")(function*(
  folder: string,
  root: Artifact.Any,
  report: Report | null,
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
  const scores = report === null ? null : scorePlot(report)
  const plots = [...specs(events), ...(scores === null ? [] : [["scores.svg", scores] as const])]
  for (const [name, spec] of plots) {
    yield* writeFileAtomic(join(folder, "plots", name), yield* Effect.promise(() => svg(spec)))
  }
  const found = naming(root)(
    [
      "# Run report",
      "",
      outcome(events, report),
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
