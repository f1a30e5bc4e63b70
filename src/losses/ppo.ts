import { type Averaging, type Loss, scaleOf } from "./loss.ts"
import { policyGradient } from "./policyGradient.ts"

/**
 * Clipped surrogate of proximal policy optimisation, per token: the point of `policyGradient.ts` with the token's ratio, two bounds
 * and the token mean.
 *
 *     L = (1/N) Σ_t max(−ρ_t A_t, −clip(ρ_t, 1 − ε, 1 + ε_high) A_t)        ρ_t = exp(logp_t − logp_old,t)
 *     dL/dlogp_t = −ρ_t A_t / N, or 0 where the clipped term is the larger
 *
 * Schulman et al. 2017 (arXiv 1707.06347) eq. 7, with the sign of a loss; ε_high ≠ ε: DAPO (arXiv 2503.14476) eq. 10.
 *
 * Deviations from TRL's PPOTrainer: (1) `val/ratio_var` is the variance over the tokens of this call, TRL's the variance of
 * micro-batch means (the only metric that does not add over micro-batches); (2) a non-finite log-ratio makes the loss
 * NaN even where clipping would cut it off.
 *
 * All arrays have one number per token: `logps` of the trained policy, `oldLogps` of the policy that sampled,
 * `advantages`, and the gradient with respect to `logps`. Metrics: see `ppoMetrics`.
 */
export const ppo = (
  logps: Float64Array,
  oldLogps: Float64Array,
  advantages: Float64Array,
  options: Averaging & { readonly clipRange: number; readonly clipRangeHigh?: number }
): Loss => {
  const { clipRange: low, clipRangeHigh: high = low } = options
  const loss = policyGradient({ logps, oldLogps, advantages, offsets: Int32Array.of(0, logps.length) }, {
    objective: { _tag: "Ratio", level: "token", clip: { _tag: "Clipped", low, high } },
    aggregation: { _tag: "TokenMean" },
    kl: { _tag: "KlInReward" }
  }, options)
  return { ...loss, metrics: ppoMetrics(loss, logps, oldLogps, options) }
}

/**
 * The metrics of a policy loss under the names of TRL's PPOTrainer: `loss/policy_avg`, `policy/clipfrac_avg` (tokens whose gradient
 * is cut), `policy/approxkl_avg` (k2: mean ½ log²ρ), `val/ratio`, `val/ratio_var`, and further metrics of the loss.
 */
export const ppoMetrics = (
  { loss, metrics }: Loss,
  logps: Float64Array,
  oldLogps: Float64Array,
  options: Averaging = {}
): Record<string, number> => {
  let [ratios, squares, weights] = [0, 0, 0]
  for (let t = 0; t < logps.length; t++) {
    const weight = options.mask?.[t] ?? 1
    if (weight === 0) continue
    const ratio = Math.exp(logps[t]! - oldLogps[t]!)
    ratios += weight * ratio
    squares += weight * (ratio - 1) ** 2
    weights += weight
  }
  const {
    approx_kl,
    "clip_ratio/high_mean": _1,
    "clip_ratio/low_mean": _2,
    "clip_ratio/region_mean": cut,
    entropy,
    kl,
    loss: _3,
    ratio: _4,
    ...others
  } = metrics
  return {
    "loss/policy_avg": loss,
    ...(cut === undefined ? {} : { "policy/clipfrac_avg": cut }),
    "policy/approxkl_avg": approx_kl!,
    "val/ratio": ratios * scaleOf(logps.length, options),
    "val/ratio_var": weights === 0 ? 0 : squares / weights - (ratios / weights - 1) ** 2,
    ...(kl === undefined ? {} : { "loss/kl": kl }),
    ...(entropy === undefined ? {} : { "policy/entropy_avg": entropy }),
    ...others
  }
}
