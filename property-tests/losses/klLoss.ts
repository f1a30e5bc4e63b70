import { k1, k2, k3, type KlEstimator } from "../../src/losses/kl.ts"
import { type Loss, poison, sameLength } from "../../src/losses/loss.ts"
import { sumRows } from "../../src/losses/ragged.ts"

const estimators = { k1, k2, k3 }

/**
 * An estimator used *as a loss*, L = (1/N) Σ k(d) with d of a token or of a whole sequence. What its gradient is on average
 * over samples of π is not the gradient of what it is on average (Tang and Munos 2025, arXiv 2506.09477):
 *
 * | estimator | E[dL] with `level: "sequence"` |
 * |---|---|
 * | k1 | 0: it trains nothing, and the language cannot build it |
 * | k2 | ∇KL(π‖ref), exactly |
 * | k3 | ∇KL(ref‖π), the *forward* KL |
 *
 * With `level: "token"` (GRPO) the same holds of the KL at each state the policy visits, with the visits held fixed: that a
 * token changes which states come later is left out. KL in the reward (`rewards.ts`) has the whole gradient.
 *
 * `denominator` N: default the number of tokens, or of sequences. The gradient is with respect to `logps`. Metric: `kl`.
 */
export const klLoss = (
  logps: Float64Array,
  refLogps: Float64Array,
  offsets: Int32Array,
  options: { readonly estimator: KlEstimator; readonly level: "token" | "sequence"; readonly denominator?: number }
): Loss => {
  sameLength({ logps, refLogps })
  const [value, slope] = estimators[options.estimator]
  const count = options.level === "token" ? logps.length : offsets.length - 1
  const scale = count === 0 ? 0 : 1 / (options.denominator ?? count)
  const differences = logps.map((logp, t) => logp - refLogps[t]!)
  const units = options.level === "token" ? differences : sumRows(differences, offsets)
  const slopes = units.map((d) => scale * slope(d) + poison(d))
  const loss = units.reduce((sum, d) => sum + scale * value(d), 0)
  const gradient = new Float64Array(logps.length)
  for (let row = 0; row + 1 < offsets.length; row++) {
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) {
      gradient[t] = slopes[options.level === "token" ? t : row]!
    }
  }
  return { loss, gradient, metrics: { kl: loss } }
}
