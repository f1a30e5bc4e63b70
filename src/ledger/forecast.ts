/**
 * A forecast of gold reward from the first part of a run, and its error on the rest. There are two candidates: Gao et al.'s law of RL,
 * and "no change". A trial inside the first part chooses: each candidate is fitted to its first half and compared with its second. The
 * law is chosen where it did better there *and* its bend is visible (the 95 % interval of b lies above 0): on a rise that has not begun
 * to turn, the law fits well and cannot predict the turn.
 */
import { type Interval, ofMean } from "./interval.ts"
import { type CurveFit, fitGold, foreseenError, goldAt, peakOf } from "./overoptimization.ts"

/** A measurement: distance √KL (KL in nats per sequence), and gold reward above the start's. */
export interface Measured {
  readonly d: number
  readonly gold: number
}

/** Roots of mean squared errors, unit of the reward. */
export interface Errors {
  /** Null where it cannot be fitted. */
  readonly law: number | null
  readonly unchanged: number
}

export interface Forecast {
  /** Measurements that it was made from. */
  readonly seen: number
  readonly by: "law" | "unchanged"
  /** Inside the first part: of the forecasts from its first half, over its second. */
  readonly trial: Errors
  /** b of the law fitted to the whole first part, Student's t; null where it cannot be fitted. */
  readonly bend: Interval | null
  /** The peak that the law predicts; null for a law without a peak, or where the law was not chosen. */
  readonly peak: { readonly d: number; readonly gold: number } | null
  readonly rest: ReadonlyArray<Measured & { readonly foreseen: number; readonly standardError: number }>
  /** Of this forecast over the rest. */
  readonly error: number
  /** Of both over the rest. */
  readonly errors: Errors
  /** How many of the rest lie within two standard errors. */
  readonly within: number
}

const rms = (errors: ReadonlyArray<number>): number =>
  Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length)

/** The forecast, by either candidate, of the measurement at distance `d`, the `ahead`-th (1, 2, …) after the last seen. */
type Foresight = (d: number, ahead: number) => { readonly foreseen: number; readonly standardError: number }

/** Measurements at a distance, which the law is fitted to; two of its degrees of freedom are a and b. */
const moves = (seen: ReadonlyArray<Measured>): number => seen.filter(({ d }) => d > 0).length

/** The law needs three measurements to be more than a line through them. */
const fitted = (seen: ReadonlyArray<Measured>): CurveFit | null =>
  moves(seen) < 3 ? null : fitGold("rl", seen.filter(({ d }) => d > 0))

/** `least`: the error of its trial. A wrong law scatters little where it was fitted, and is far off elsewhere. */
const byLaw = (fit: CurveFit, seen: ReadonlyArray<Measured>, least: number): Foresight => {
  const scatter = Math.max(least, fit.residual * Math.sqrt(moves(seen) / (moves(seen) - 2)))
  return (d) => ({ foreseen: goldAt(fit.law, d), standardError: foreseenError(fit, d, scatter) })
}

/** Its error: the distance of two measurements that many steps apart; beyond half of the seen measurements, in proportion. */
const unchanged = (seen: ReadonlyArray<Measured>): Foresight => {
  const furthest = Math.floor(seen.length / 2)
  return (_, ahead) => {
    const lag = Math.min(ahead, furthest)
    const apart = rms(seen.slice(lag).map(({ gold }, i) => gold - seen[i]!.gold))
    return { foreseen: seen.at(-1)!.gold, standardError: apart * Math.max(1, ahead / furthest) }
  }
}

const off = (by: Foresight, rest: ReadonlyArray<Measured>): number =>
  rms(rest.map(({ d, gold }, i) => by(d, i + 1).foreseen - gold))

/** Of both forecasts from `seen`, over `rest`. */
const errorsOf = (seen: ReadonlyArray<Measured>, rest: ReadonlyArray<Measured>): Errors => {
  const fit = fitted(seen)
  return { law: fit === null ? null : off(byLaw(fit, seen, 0), rest), unchanged: off(unchanged(seen), rest) }
}

/** Forecasts the second half of `points`, in their order, from the first. Null with fewer than 4 points to learn from, or no later point. */
export const forecast = (points: ReadonlyArray<Measured>): Forecast | null => {
  const seen = Math.floor(points.length / 2)
  const [first, rest] = [points.slice(0, seen), points.slice(seen)]
  if (first.length < 4 || rest.length === 0) return null
  const half = Math.floor(seen / 2)
  const trial = errorsOf(first.slice(0, half), first.slice(half))
  const fit = fitted(first)
  const bend = fit === null ? null : ofMean(fit.law.b, fit.standardError.b, moves(first) - 1)
  const lawful = fit !== null && trial.law !== null && trial.law < trial.unchanged && bend !== null && bend.low > 0
  const by = lawful ? byLaw(fit, first, trial.law!) : unchanged(first)
  const foreseen = rest.map(({ d, gold }, i) => ({ d, gold, ...by(d, i + 1) }))
  return {
    seen,
    by: lawful ? "law" : "unchanged",
    trial,
    bend,
    peak: lawful ? peakOf(fit.law) : null,
    rest: foreseen,
    error: off(by, rest),
    errors: errorsOf(first, rest),
    within:
      foreseen.filter(({ foreseen, gold, standardError }) => Math.abs(foreseen - gold) <= 2 * standardError).length
  }
}
