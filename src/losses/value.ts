import { type Averaging, type Loss, sameLength, scaleOf } from "./loss.ts"

/**
 * Clipped squared error of a value model, per token.
 *
 *     L = (1/N) Σ_t ½ max((V_t − R_t)², (clip(V_t, V_old,t − ε, V_old,t + ε) − R_t)²)
 *     dL/dV_t = (V_t − R_t) / N, or 0 where the clipped term is the larger
 *
 * Not in the PPO paper: OpenAI baselines' `ppo2`, lm-human-preferences and TRL have it (Huang et al. 2022, "The 37
 * implementation details of PPO", detail 9). ε = Infinity is plain squared error. The stage multiplies by `vf_coef`.
 *
 * Deviations from TRL's PPOTrainer: none.
 *
 * All arrays have one number per token: `values` of the trained model, before each token; `oldValues`, its values when
 * the completions were sampled; `returns` from `gae`; the gradient with respect to `values`. Metrics: `loss/value_avg`,
 * `val/clipfrac_avg` (tokens whose gradient is cut).
 */
export const valueLoss = (
  values: Float64Array,
  oldValues: Float64Array,
  returns: Float64Array,
  options: Averaging & { readonly clipRange: number }
): Loss => {
  const { clipRange, mask } = options
  sameLength({ values, oldValues, returns, mask })
  const scale = scaleOf(values.length, options)
  const gradient = new Float64Array(values.length)
  let [loss, clipped] = [0, 0]
  for (let t = 0; t < values.length; t++) {
    const weight = mask === undefined ? 1 : mask[t]!
    if (weight === 0) continue
    const error = values[t]! - returns[t]!
    const nearby = Math.min(Math.max(values[t]!, oldValues[t]! - clipRange), oldValues[t]! + clipRange)
    const plain = error ** 2
    const cut = (nearby - returns[t]!) ** 2
    loss += weight * scale * 0.5 * Math.max(plain, cut)
    gradient[t] = cut > plain ? 0 : weight * scale * error
    if (cut > plain) clipped += weight
  }
  return { loss, gradient, metrics: { "loss/value_avg": loss, "val/clipfrac_avg": clipped * scale } }
}
