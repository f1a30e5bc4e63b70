/**
 * A forecast of gold reward from the first part of a run, by Gao et al.'s law of RL, and how good it was: held afterwards against the rest, and
 * against the forecast that gold stays where it was seen last.
 */
import { fitGold, foreseenError, type Form, goldAt, peakOf } from "./overoptimization.ts"

/** One measurement: distance √KL (KL in nats per sequence), and gold reward above that of the start. */
export interface Measured {
  readonly d: number
  readonly gold: number
}

export interface Forecast {
  /** Measurements that it was made from. */
  readonly seen: number
  readonly peak: { readonly d: number; readonly gold: number } | null
  readonly rest: ReadonlyArray<Measured & { readonly foreseen: number; readonly standardError: number }>
  /** Root of the mean squared error over the rest, unit of the reward. */
  readonly error: number
  /** Of the forecast that nothing changes. */
  readonly naive: number
  /** How many of the rest lie within two standard errors. */
  readonly within: number
}

const rms = (errors: ReadonlyArray<number>): number =>
  Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length)

/** Forecasts what comes after the first `share` of `points`, in their order. Null with fewer than 4 points to learn from or none to foresee. */
export const forecast = (points: ReadonlyArray<Measured>, share = 0.5, form: Form = "rl"): Forecast | null => {
  const seen = Math.floor(points.length * share)
  const [first, rest] = [points.slice(0, seen), points.slice(seen)]
  const moved = first.filter(({ d }) => d > 0)
  if (moved.length < 4 || rest.length === 0) return null
  const fit = fitGold(form, moved)
  if (fit === null) return null
  const scatter = fit.residual * Math.sqrt(moved.length / (moved.length - 2))
  const foreseen = rest.map(({ d, gold }) => ({
    d,
    gold,
    foreseen: goldAt(fit.law, d),
    standardError: foreseenError(fit, d, scatter)
  }))
  return {
    seen,
    peak: peakOf(fit.law),
    rest: foreseen,
    error: rms(foreseen.map(({ foreseen, gold }) => foreseen - gold)),
    naive: rms(rest.map(({ gold }) => first.at(-1)!.gold - gold)),
    within:
      foreseen.filter(({ foreseen, gold, standardError }) => Math.abs(foreseen - gold) <= 2 * standardError).length
  }
}
