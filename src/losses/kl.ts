import { sameLength } from "./loss.ts"
import { sumRows } from "./ragged.ts"

/** Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html). */
export type KlEstimator = "k1" | "k2" | "k3"

/**
 * Estimate of KL(π‖ref) from one sample of π, and its derivative with respect to log π; d = log π − log ref.
 *
 *     k1 = d             dk1 = 1              unbiased, signed
 *     k2 = ½ d²          dk2 = d              biased (third order in the distance), ≥ 0
 *     k3 = e⁻ᵈ − 1 + d   dk3 = 1 − e⁻ᵈ        unbiased, ≥ 0
 *
 * `expm1` keeps k3 accurate where d is near 0.
 */
type Estimator = readonly [value: (d: number) => number, slope: (d: number) => number]
export const k1: Estimator = [(d) => d, () => 1]
export const k2: Estimator = [(d) => 0.5 * d * d, (d) => d]
export const k3: Estimator = [(d) => Math.expm1(-d) + d, (d) => -Math.expm1(-d)]
const estimators: Record<KlEstimator, Estimator> = { k1, k2, k3 }

/** KL(p‖q) of two distributions, by their logarithms: Σ p log(p / q), nats. */
export const klBetween = (logp: Float64Array, logq: Float64Array): number => {
  let sum = 0
  for (let v = 0; v < logp.length; v++) {
    const p = Math.exp(logp[v]!)
    if (p > 0) sum += p * (logp[v]! - logq[v]!)
  }
  return sum
}

/**
 * Estimates KL(π‖ref) from completions sampled from π, in nats. Inputs have one number per token; row i owns
 * `offsets[i] … offsets[i + 1]`.
 *
 * - `tokens`: the estimate of each token;
 * - `sequences`: their sum in each row (by the chain rule an estimate of the KL of whole completions);
 * - `mean`: over the sequences, nats per sequence;
 * - `standardError`: of `mean`, from the spread across sequences (tokens of one row are not independent); NaN for fewer
 *   than two sequences, where the spread is unknown;
 * - `meanPerToken`: sum over tokens / number of tokens, nats per token.
 */
export const kl = (logps: Float64Array, refLogps: Float64Array, offsets: Int32Array, estimator: KlEstimator) => {
  sameLength({ logps, refLogps })
  const value = estimators[estimator][0]
  const tokens = new Float64Array(logps.length)
  for (let t = 0; t < logps.length; t++) tokens[t] = value(logps[t]! - refLogps[t]!)
  const sequences = sumRows(tokens, offsets)
  const n = sequences.length
  const total = sequences.reduce((sum, x) => sum + x, 0)
  const mean = n === 0 ? 0 : total / n
  const variance = sequences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1)
  return {
    tokens,
    sequences,
    mean,
    standardError: n < 2 ? NaN : Math.sqrt(variance / n),
    meanPerToken: tokens.length === 0 ? 0 : total / tokens.length
  }
}
