/**
 * Over-optimisation in a run: proxy and gold reward of a stage's policies against √KL from the initial model, measured while it trained;
 * Gao et al.'s two laws, fitted to gold; and a forecast of the second half from the first (`ledger/forecast.ts`).
 */
import { type CurveFit, type CurveForm, fitGold, peakOf } from "../ledger/overoptimization.ts"
import { type Forecast, forecast } from "../ledger/forecast.ts"
import type { Event } from "../store/runLog.ts"
import { markdown } from "./table.ts"

export interface Point {
  readonly step: number
  /** √KL, KL in nats per sequence; k1 may lie below 0, which is 0 here. */
  readonly d: number
  readonly gold: number
  readonly proxy: number | null
}

export interface Trajectory {
  readonly stage: string
  /** The initial model that KL is measured from. */
  readonly from: string
  readonly points: ReadonlyArray<Point>
  /** Gold above the gold of the first point. Null with too few points for an error. */
  readonly laws: Readonly<Record<CurveForm, CurveFit | null>>
  readonly forecast: Forecast | null
}

/** The stages whose gold reward was observed. */
export const trajectories = (events: ReadonlyArray<Event>): ReadonlyArray<Trajectory> => {
  const stages = new Map<string, { from: string; points: Array<Point> }>()
  for (const event of events) {
    if (event._tag !== "Observed" || event.observed["gold"] === undefined) continue
    const kl = events.find((one) =>
      one._tag === "Measured" && one.measurement.stage === event.stage && one.measurement.step === event.step &&
      (one.measurement.against ?? "initial") === "initial"
    )
    if (kl?._tag !== "Measured") continue
    const { from, mean } = kl.measurement
    const known = stages.get(event.stage) ?? { from, points: [] }
    stages.set(event.stage, known)
    // A step that was done again after a crash was measured again, to the same numbers.
    if (known.points.some(({ step }) => step === event.step)) continue
    const { gold, proxy = null } = event.observed
    known.points.push({ step: event.step, d: Math.sqrt(Math.max(0, mean)), gold, proxy })
  }
  return [...stages].map(([stage, { from, points }]) => {
    const gains = points.map(({ d, gold }) => ({ d, gold: gold - points[0]!.gold }))
    const moved = gains.filter(({ d }) => d > 0)
    const fit = (form: CurveForm) => moved.length < 3 ? null : fitGold(form, moved)
    return { stage, from, points, laws: { rl: fit("rl"), bestOfN: fit("bestOfN") }, forecast: forecast(gains) }
  })
}

const signed = (x: number): string => `${x >= 0 ? "+" : ""}${x.toFixed(3)}`

const formulas = { rl: "d (a − b log d)", bestOfN: "d (a − b d)" } as const

const lawOf = (form: CurveForm, fit: CurveFit | null, points: ReadonlyArray<Point>): string => {
  if (fit === null) return `${formulas[form]}: not fitted, it needs 3 measurements at different distances`
  const { law, residual, standardError } = fit
  const peak = peakOf(law)
  const furthest = Math.max(...points.map(({ d }) => d))
  const where = peak === null
    ? "no peak"
    : `peak ${signed(peak.gold)} at √KL ${peak.d.toFixed(2)}${
      peak.d > furthest ? " (beyond the measurements: an extrapolation)" : ""
    }`
  const interval = (name: "a" | "b") => `${name} ${law[name].toFixed(3)} ± ${(2 * standardError[name]).toFixed(3)}`
  return `${formulas[form]}: ${interval("a")}, ${interval("b")} (± 2 standard errors), residual ${
    residual.toFixed(3)
  }; ${where}`
}

/** Which forecast it is and why, and how it did. */
const forecastText = ({ bend, by, error, errors, peak, rest, seen, trial, within }: Forecast): string => {
  const inside = trial.law === null
    ? "too few for a trial of the law"
    : `from the first half of them the second: the law off by ${trial.law.toFixed(3)}, “nothing changes” by ${
      trial.unchanged.toFixed(3)
    }`
  const turn = bend === null
    ? ""
    : `; ${bend.low > 0 ? "it is seen to bend" : "no bend is seen yet"}, b in [${bend.low.toFixed(3)}, ${
      bend.high.toFixed(3)
    }]`
  const what = by === "law"
    ? `the law of RL${peak === null ? "" : ` (peak ${signed(peak.gold)} at √KL ${peak.d.toFixed(2)})`}`
    : "“nothing changes”"
  const other = by === "law"
    ? `“nothing changes” by ${errors.unchanged.toFixed(3)}`
    : errors.law === null
    ? "the law was not fitted"
    : `the law would have been off by ${errors.law.toFixed(3)}`
  return `Forecast from the first ${seen} measurements: ${what} (${inside}${turn}). Held against the other ${rest.length}: off by ${
    error.toFixed(3)
  }; ${other}; ${within} of ${rest.length} within two standard errors.`
}

/** At most `most` of them, evenly, the last among them. */
const some = <A>(all: ReadonlyArray<A>, most: number): ReadonlyArray<A> =>
  all.length <= most ? all : Array.from({ length: most }, (_, i) => all[Math.round(i * (all.length - 1) / (most - 1))]!)

/** For people; empty when no gold was observed. */
export const text = (all: ReadonlyArray<Trajectory>): string =>
  all.map(({ forecast, from, laws, points, stage }) =>
    [
      `Over-optimisation of ${stage}: rewards on held prompts against √KL from ${from} (KL in nats per sequence)\n`,
      markdown([
        ["step", "√KL", "proxy", "gold"],
        ...some(points, 12).map(({ d, gold, proxy, step }) => [
          String(step),
          d.toFixed(3),
          proxy === null ? "–" : proxy.toFixed(3),
          gold.toFixed(3)
        ])
      ]),
      "",
      "Gold above the first row, by the laws of Gao et al. 2023, d = √KL:",
      `  RL         ${lawOf("rl", laws.rl, points)}`,
      `  best of n  ${lawOf("bestOfN", laws.bestOfN, points)}`,
      forecast === null
        ? "No forecast: its first half has fewer than 4 measurements."
        : forecastText(forecast)
    ].join("\n")
  ).join("\n\n")
