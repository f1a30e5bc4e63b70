import type { TopLevelSpec } from "vega-lite"
import { trajectories, type Trajectory } from "./overOptimisation.ts"
import type { Event, Measurement } from "../store/runLog.ts"
import type { Entry } from "./ledger.ts"

/** A number over the steps of a stage. */
export interface PlotPoint {
  readonly step: number
  readonly value: number
}

const number = (
  field: string,
  more: { readonly title?: string; readonly scale?: { readonly zero: boolean } } = {}
) => ({
  field,
  type: "quantitative" as const,
  ...more
})
const step = number("step")
const nats = "nats per sequence"
const small = { width: 360, height: 180 } as const

const line = (title: string, y: string, values: ReadonlyArray<PlotPoint>): TopLevelSpec => ({
  title,
  ...small,
  data: { values: [...values] },
  mark: { type: "line", color: "#1f6feb" },
  encoding: { x: step, y: number("value", { title: y, scale: { zero: false } }) }
})

/** Measured KL with its standard error, under its cap (dashed). */
const klPlot = (measured: ReadonlyArray<Measurement>): TopLevelSpec => ({
  title: `${measured[0]?.stage}: KL from ${measured[0]?.from}`,
  ...small,
  data: { values: measured.map((m) => ({ ...m, low: m.mean - m.standardError, high: m.mean + m.standardError })) },
  layer: [
    {
      data: { values: measured.slice(0, 1).filter(({ cap }) => cap !== null) },
      mark: { type: "rule", strokeDash: [4, 4], color: "#b00" },
      encoding: { y: number("cap") }
    },
    { mark: { type: "errorbar" }, encoding: { x: step, y: number("low", { title: nats }), y2: { field: "high" } } },
    { mark: { type: "line", point: true, color: "#1f6feb" }, encoding: { x: step, y: number("mean") } }
  ]
})

/** A cap above this multiple of the largest measurement is named and not drawn: it would flatten the curves. */
const drawn = 2

const color = {
  field: "against",
  type: "nominal",
  title: null,
  legend: { orient: "bottom", direction: "vertical", labelLimit: 0 }
}

/** A stage of `measuredKl`. */
const stagePlot = ({ caps, measured, stage }: Entry) => {
  const points = measured.map((m) => ({
    step: m.step,
    mean: m.mean,
    low: m.interval?.low ?? m.mean,
    high: m.interval?.high ?? m.mean,
    against: `${m.against} ${m.from}`
  }))
  const most = Math.max(...points.map(({ high }) => high))
  const told = caps.flatMap(({ from, mnats }) =>
    mnats === undefined ? [] : [{ cap: mnats / 1000, label: `cap ${mnats / 1000} from ${from}` }]
  )
  const shown = told.filter(({ cap }) => cap <= drawn * most)
  return {
    title: {
      text: stage,
      subtitle: [...new Set(told.filter((cap) => !shown.includes(cap)).map(({ label }) => `${label}: far above`))],
      anchor: "start"
    },
    width: 300,
    height: 180,
    layer: [
      {
        data: { values: shown },
        mark: { type: "rule", strokeDash: [4, 4], color: "#b00" },
        encoding: { y: number("cap") }
      },
      {
        data: { values: points },
        mark: { type: "rule" },
        encoding: { x: step, y: number("low", { title: nats }), y2: { field: "high" }, color }
      },
      {
        data: { values: points },
        mark: { type: "line", point: true },
        encoding: { x: { ...step, axis: { tickMinStep: 1, format: "d" } }, y: number("mean"), color }
      }
    ]
  }
}

/** The measured KL of a run with its intervals, a panel for each stage, a line for each model that it was measured against. */
export const measuredKl = (ledger: ReadonlyArray<Entry>): TopLevelSpec => ({
  title: "Measured KL(policy‖model), with 95 % intervals",
  columns: 2,
  concat: ledger.filter(({ measured }) => measured.length > 0).map(stagePlot) as never,
  resolve: { scale: { color: "independent" } }
})

/** Gold and proxy of a stage against √KL: over-optimisation is where they part. */
export const overOptimised = ({ from, points, stage }: Trajectory): TopLevelSpec & { readonly title: string } => ({
  title: `${stage}: rewards against √KL from ${from}`,
  width: 480,
  height: 240,
  data: {
    values: points.flatMap(({ d, gold, proxy }) => [
      { d, reward: "gold", value: gold },
      ...(proxy === null ? [] : [{ d, reward: "proxy", value: proxy }])
    ])
  },
  mark: { type: "line", point: true },
  encoding: {
    x: number("d", { title: "√KL, KL in nats per sequence" }),
    y: number("value", { title: "reward", scale: { zero: false } }),
    color: { field: "reward", type: "nominal", title: null }
  }
})

/** Stacked vertically. */
export const stacked = (plots: ReadonlyArray<TopLevelSpec>): TopLevelSpec =>
  ({ vconcat: plots, resolve: { scale: { color: "independent" } } }) as TopLevelSpec

const plotted = ["loss", "accuracy", "objective/scores", "objective/kl", "completions/mean_length"]

/** The parts of a reward, each by itself. */
const partsIn = (events: ReadonlyArray<Event>, stage: string): ReadonlyArray<string> => [
  ...new Set(events.flatMap((event) =>
    event._tag === "Step" && event.stage === stage
      ? Object.keys(event.metrics).filter((name) => /^rewards\/.*\/mean$/u.test(name))
      : []
  ))
]

/** The plots of a run as Vega-Lite specifications, by file name. */
export const specs = (events: ReadonlyArray<Event>): ReadonlyMap<string, TopLevelSpec> => {
  const plots = new Map<string, TopLevelSpec>()
  const stages = [...new Set(events.flatMap((event) => event._tag === "Step" ? [event.stage] : []))]
  for (const stage of stages) {
    for (const metric of [...plotted, ...partsIn(events, stage)]) {
      const points = events.flatMap((event) =>
        event._tag === "Step" && event.stage === stage && event.metrics[metric] !== undefined
          ? [{ step: event.step, value: event.metrics[metric] }]
          : []
      )
      if (points.length > 1) {
        plots.set(`${stage}.${metric.replaceAll("/", "-")}.svg`, line(`${stage}: ${metric}`, metric, points))
      }
    }
    // A merge's distance from its parents is a single number, not a curve.
    const measured = events.flatMap((event) =>
      event._tag === "Measured" && event.measurement.stage === stage &&
        (event.measurement.cap !== null || event.measurement.against === "initial")
        ? [event.measurement]
        : []
    )
    if (measured.length > 0) plots.set(`${stage}.measured-kl.svg`, klPlot(measured))
  }
  for (const one of trajectories(events)) plots.set(`${one.stage}.over-optimisation.svg`, overOptimised(one))
  return plots
}

/** SVG text of a plot. Vega is loaded on first use: it is needed once, at the end of a run. */
export const svg = async (spec: TopLevelSpec): Promise<string> => {
  const [{ compile }, { Error: level, parse, View }] = await Promise.all([import("vega-lite"), import("vega")])
  const view = new View(parse(compile(spec).spec), { renderer: "none", logLevel: level })
  try {
    return await view.toSVG()
  } finally {
    view.finalize()
  }
}
