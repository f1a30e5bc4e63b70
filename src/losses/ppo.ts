import type { Averaging, Loss } from "./loss.ts"
import { poison, sameLength, scaleOf } from "./loss.ts"

/**
 * Clipped surrogate of proximal policy optimisation, per token.
 *
 *     L = (1/N) Σ_t max(−ρ_t A_t, −clip(ρ_t, 1 − ε, 1 + ε_high) A_t)        ρ_t = exp(logp_t − logp_old,t)
 *     dL/dlogp_t = −ρ_t A_t / N, or 0 where the clipped term is the larger
 *
 * Schulman et al. 2017 (arXiv 1707.06347) eq. 7, with the sign of a loss; ε_high ≠ ε: DAPO (arXiv 2503.14476) eq. 10.
 *
 * Deviations from TRL's PPOTrainer: (1) `val/ratio_var` is the variance over the tokens of this call, TRL's the variance of
 * micro-batch means (it is the one metric that does not add over micro-batches); (2) a non-finite log-ratio makes the loss
 * NaN even where clipping would cut it off.
 *
 * All arrays have one number per token: `logps` of the policy being trained, `oldLogps` of the policy that sampled,
 * `advantages`, and the gradient with respect to `logps`. Metrics: `loss/policy_avg`, `policy/clipfrac_avg` (tokens whose
 * gradient is cut), `policy/approxkl_avg` (k2: mean ½ log²ρ), `val/ratio`, `val/ratio_var`.
 */
export const ppo = (
  logps: Float64Array,
  oldLogps: Float64Array,
  advantages: Float64Array,
  options: Averaging & { readonly clipRange: number; readonly clipRangeHigh?: number }
): Loss => {
  const { clipRange, clipRangeHigh = clipRange, mask } = options
  sameLength({ logps, oldLogps, advantages, mask })
  const scale = scaleOf(logps.length, options)
  const gradient = new Float64Array(logps.length)
  let [loss, clipped, approxKl, ratios, squares, weights] = [0, 0, 0, 0, 0, 0]
  for (let t = 0; t < logps.length; t++) {
    const weight = mask === undefined ? 1 : mask[t]!
    if (weight === 0) continue
    const logRatio = logps[t]! - oldLogps[t]!
    const ratio = Math.exp(logRatio)
    const plain = -ratio * advantages[t]!
    const cut = -Math.min(Math.max(ratio, 1 - clipRange), 1 + clipRangeHigh) * advantages[t]!
    loss += weight * scale * (Math.max(plain, cut) + poison(logRatio))
    gradient[t] = cut > plain ? poison(logRatio) : weight * scale * plain
    if (cut > plain) clipped += weight
    approxKl += weight * 0.5 * logRatio ** 2
    ratios += weight * ratio
    squares += weight * (ratio - 1) ** 2
    weights += weight
  }
  const metrics = {
    "loss/policy_avg": loss,
    "policy/clipfrac_avg": clipped * scale,
    "policy/approxkl_avg": approxKl * scale,
    "val/ratio": ratios * scale,
    "val/ratio_var": weights === 0 ? 0 : squares / weights - (ratios / weights - 1) ** 2
  }
  return { loss, gradient, metrics }
}
