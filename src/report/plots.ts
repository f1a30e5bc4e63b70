import type { TopLevelSpec } from "vega-lite"
import { trajectories, type Trajectory } from "./overOptimisation.ts"
import type { Event, Measurement } from "../store/runLog.ts"

/** One number over the steps of a stage. */
export interface Point {
  readonly step: number
  readonly value: number
}

const line = (title: string, y: string, values: ReadonlyArray<Point>): TopLevelSpec => ({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  title,
  width: 360,
  height: 180,
  data: { values: [...values] },
  mark: { type: "line", color: "#1f6feb" },
  encoding: {
    x: { field: "step", type: "quantitative" },
    y: { field: "value", type: "quantitative", title: y, scale: { zero: false } }
  }
})

const step = { field: "step", type: "quantitative" } as const

/** Measured KL with its standard error, under its cap (dashed). */
const klPlot = (measured: ReadonlyArray<Measurement>): TopLevelSpec => ({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  title: `${measured[0]?.stage}: KL from ${measured[0]?.from}`,
  width: 360,
  height: 180,
  data: { values: measured.map((m) => ({ ...m, low: m.mean - m.standardError, high: m.mean + m.standardError })) },
  layer: [
    { mark: { type: "rule", strokeDash: [4, 4], color: "#b00" }, encoding: { y: { datum: measured[0]?.cap ?? 0 } } },
    {
      mark: { type: "errorbar" },
      encoding: {
        x: step,
        y: { field: "low", type: "quantitative", title: "nats per sequence" },
        y2: { field: "high" }
      }
    },
    {
      mark: { type: "line", point: true, color: "#1f6feb" },
      encoding: { x: step, y: { field: "mean", type: "quantitative" } }
    }
  ]
})

/** Measured KL of all stages of a run, a line for each stage and initial model. */
export const measuredKl = (measured: ReadonlyArray<Measurement>): TopLevelSpec => ({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  title: "Measured KL from the initial model",
  width: 480,
  height: 240,
  data: { values: measured.map((m) => ({ ...m, line: `${m.stage} from ${m.from}` })) },
  mark: { type: "line", point: true },
  encoding: {
    x: step,
    y: { field: "mean", type: "quantitative", title: "nats per sequence" },
    color: { field: "line", type: "nominal", title: null }
  }
})

/** Gold and proxy of a stage against √KL: over-optimisation is where they part. */
export const overOptimised = ({ from, points, stage }: Trajectory): TopLevelSpec & { readonly title: string } => ({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
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
    x: { field: "d", type: "quantitative", title: "√KL, KL in nats per sequence" },
    y: { field: "value", type: "quantitative", title: "reward", scale: { zero: false } },
    color: { field: "reward", type: "nominal", title: null }
  }
})

/** One under the other. */
export const stacked = (plots: ReadonlyArray<TopLevelSpec>): TopLevelSpec =>
  ({ vconcat: plots, resolve: { scale: { color: "independent" } } }) as TopLevelSpec

const plotted = ["loss", "accuracy", "objective/scores", "objective/kl", "completions/mean_length"] as const

/** The plots of a run as Vega-Lite specifications, by file name. */
export const specs = (events: ReadonlyArray<Event>): ReadonlyMap<string, TopLevelSpec> => {
  const plots = new Map<string, TopLevelSpec>()
  const stages = [...new Set(events.flatMap((event) => event._tag === "Step" ? [event.stage] : []))]
  for (const stage of stages) {
    for (const metric of plotted) {
      const points = events.flatMap((event) =>
        event._tag === "Step" && event.stage === stage && event.metrics[metric] !== undefined
          ? [{ step: event.step, value: event.metrics[metric] }]
          : []
      )
      if (points.length > 1) {
        plots.set(`${stage}.${metric.replaceAll("/", "-")}.svg`, line(`${stage}: ${metric}`, metric, points))
      }
    }
    // What no cap is held against, a merge's distance from its parents, is one number and no curve.
    const measured = events.flatMap((event) =>
      event._tag === "Measured" && event.measurement.stage === stage && event.measurement.cap !== null
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
