/**
 * Over-optimisation of a proxy reward: how gold reward goes with the distance d = √KL(π‖π_init), KL in nats per sequence (Gao,
 * Schulman, Hilton 2023, arXiv 2210.10760, eq. 1 and 2). Gold reward is counted from that of the initial model, R(0) = 0.
 *
 * | form | R(d) | peak d* | R(d*) |
 * |---|---|---|---|
 * | `bestOfN` | d (a − b d) | a / 2b | a² / 4b |
 * | `rl` | d (a − b log d) | exp(a / b − 1) | b d* |
 */
export type CurveForm = "bestOfN" | "rl"

export interface Law {
  readonly form: CurveForm
  readonly a: number
  readonly b: number
}

/** Both forms are linear in a and b: R = a d − b g(d). */
const second = (form: CurveForm, d: number): number => d === 0 ? 0 : form === "bestOfN" ? d * d : d * Math.log(d)

/** Gold reward at distance `d`, in the unit of the rewards that the law was fitted to. */
export const goldAt = ({ a, b, form }: Law, d: number): number => a * d - b * second(form, d)

/** The distance of the highest gold reward, and that reward; null when it never falls (b ≤ 0). */
export const peakOf = ({ a, b, form }: Law): { readonly d: number; readonly gold: number } | null => {
  if (!(b > 0)) return null
  const d = form === "bestOfN" ? a / (2 * b) : Math.exp(a / b - 1)
  return d > 0 && Number.isFinite(d) ? { d, gold: goldAt({ a, b, form }, d) } : null
}

export interface CurveFit {
  readonly law: Law
  /** Standard errors of the coefficients; NaN when there are no more points than coefficients. */
  readonly standardError: { readonly a: number; readonly b: number }
  /** Of the two coefficients with each other. */
  readonly covariance: number
  /** Root of the mean squared residual, unit of the reward. */
  readonly residual: number
}

/**
 * Least squares over points (d, gold reward above the initial model's). Needs two points at different distances above 0; null
 * otherwise, since a single point fits every law.
 */
export const fitGold = (
  form: CurveForm,
  points: ReadonlyArray<{ readonly d: number; readonly gold: number }>
): CurveFit | null => {
  let [xx, xy, yy, xr, yr] = [0, 0, 0, 0, 0]
  for (const { d, gold } of points) {
    const [x, y] = [d, -second(form, d)]
    xx += x * x
    xy += x * y
    yy += y * y
    xr += x * gold
    yr += y * gold
  }
  const determinant = xx * yy - xy * xy
  if (!(determinant > 1e-12 * xx * yy)) return null
  const law: Law = { form, a: (yy * xr - xy * yr) / determinant, b: (xx * yr - xy * xr) / determinant }
  const squares = points.reduce((sum, { d, gold }) => sum + (gold - goldAt(law, d)) ** 2, 0)
  const variance = points.length > 2 ? squares / (points.length - 2) : NaN
  return {
    law,
    standardError: { a: Math.sqrt(variance * yy / determinant), b: Math.sqrt(variance * xx / determinant) },
    covariance: -variance * xy / determinant,
    residual: Math.sqrt(squares / points.length)
  }
}

/**
 * The standard error that a fit predicts for the gold reward of a further measurement at distance `d`: the error of the coefficients and
 * the scatter of measurements around the law.
 */
export const foreseenError = (
  { covariance, law: { form }, standardError: { a, b } }: CurveFit,
  d: number,
  /** Standard deviation of a measurement around the law. */
  scatter: number
): number => {
  const [x, y] = [d, -second(form, d)]
  return Math.sqrt(Math.max(0, x * x * a * a + y * y * b * b + 2 * x * y * covariance) + scatter ** 2)
}
