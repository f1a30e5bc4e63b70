/** How often a judge prefers a model's answers to a baseline's, with and without the influence of their lengths. */
import { type Interval, ofMean, tQuantile } from "../ledger/interval.ts"

/** A judge's verdict on two answers to a prompt. */
export interface Judged {
  /** Whether it prefers the model's answer: 1, 0, ½ for a tie, or a probability, as the mean over both orders of the two. */
  readonly preference: number
  /** Lengths of the answers, in any one unit. */
  readonly length: number
  readonly baseline: number
}

export interface WinRate {
  /** The mean preference, and Student's t interval over prompts. */
  readonly plain: number
  readonly interval: Interval | null
  /** The preference where both answers are equally long. */
  readonly lengthControlled: number
  readonly lengthControlledInterval: Interval | null
  /** φ: the logit that the tanh of a standardised difference in length adds; above 0, the judge favours long answers. */
  readonly lengthBias: number
}

/** Of both coefficients: with every verdict alike, they would have no bound. A normal prior with standard deviation 10. */
const ridge = 0.01

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475, eq. 2), of one model and one baseline:
 *
 *     logit P(model is preferred) = θ + φ · tanh((length − baseline) / σ)
 *
 * σ is the standard deviation of the differences in length; the win rate is the logistic of θ: that of a difference of 0. The difficulty of
 * an instruction, which the paper fits over many models, cannot be told from one. The interval is robust (the sandwich of Huber and White,
 * prompts are independent), Student's t on the scale of the logit.
 */
export const winRate = (verdicts: ReadonlyArray<Judged>): WinRate => {
  const n = verdicts.length
  const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0) / n
  const plain = mean(verdicts.map(({ preference }) => preference))
  const error = Math.sqrt(mean(verdicts.map(({ preference }) => (preference - plain) ** 2)) / (n - 1))
  const differences = verdicts.map(({ baseline, length }) => length - baseline)
  const middle = mean(differences)
  const sigma = Math.sqrt(mean(differences.map((d) => (d - middle) ** 2)))
  const xs = differences.map((d) => sigma === 0 ? 0 : Math.tanh(d / sigma))

  /** The sums Σ wᵢ, Σ wᵢxᵢ, Σ wᵢxᵢ² of a symmetric 2 × 2 matrix. */
  const matrix = (weights: ReadonlyArray<number>, diagonal = 0) => {
    let [a, b, c] = [diagonal, 0, diagonal]
    weights.forEach((w, i) => {
      a += w
      b += w * xs[i]!
      c += w * xs[i]! ** 2
    })
    return { a, b, c, determinant: a * c - b * b }
  }
  let [theta, phi] = [0, 0]
  const chances = () => xs.map((x) => logistic(theta + phi * x))
  const loss = (theta: number, phi: number): number =>
    ridge / 2 * (theta ** 2 + phi ** 2) + verdicts.reduce((sum, { preference }, i) => {
      const z = theta + phi * xs[i]!
      return sum + Math.log1p(Math.exp(-Math.abs(z))) + Math.max(z, 0) - preference * z
    }, 0)
  // Newton's method on a strictly convex function of two numbers; a step that does not lower it is halved.
  for (let round = 0; round < 100; round++) {
    const p = chances()
    const { a, b, c, determinant } = matrix(p.map((p) => p * (1 - p)), ridge)
    let [g, h] = [ridge * theta, ridge * phi]
    verdicts.forEach(({ preference }, i) => {
      g += p[i]! - preference
      h += (p[i]! - preference) * xs[i]!
    })
    let [dTheta, dPhi] = [(c * g - b * h) / determinant, (a * h - b * g) / determinant]
    const before = loss(theta, phi)
    while (loss(theta - dTheta, phi - dPhi) > before && Math.abs(dTheta) + Math.abs(dPhi) > 1e-12) {
      dTheta /= 2
      dPhi /= 2
    }
    theta -= dTheta
    phi -= dPhi
    if (Math.abs(dTheta) + Math.abs(dPhi) < 1e-10) break
  }
  const p = chances()
  const { b, c, determinant } = matrix(p.map((p) => p * (1 - p)), ridge)
  // The first row of the inverse, times the gradient of each prompt.
  const squares = verdicts.reduce((sum, { preference }, i) => {
    const residual = p[i]! - preference
    return sum + ((c - b * xs[i]!) / determinant * residual) ** 2
  }, 0)
  const reach = n < 3 ? Infinity : tQuantile(n - 2) * Math.sqrt(n / (n - 2) * squares)
  return {
    plain,
    interval: ofMean(plain, error, n),
    lengthControlled: logistic(theta),
    lengthControlledInterval: n < 3 ? null : { low: logistic(theta - reach), high: logistic(theta + reach) },
    lengthBias: phi
  }
}
