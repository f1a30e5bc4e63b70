import { type Averaging, type Loss, sameLength, scaleOf } from "./loss.ts"

/**
 * Cross-entropy of the target tokens, the loss of supervised fine-tuning and pretraining.
 *
 *     L = −(1/N) Σ_t m_t log π(y_t | x, y_<t)        dL/dlogp_t = −m_t / N
 *
 * Ouyang et al. 2022 (arXiv 2203.02155) §3.5; N is the number of unmasked tokens of the whole batch, or 1 for the sum loss
 * (Tülu 3, arXiv 2411.15124 §4.3.2).
 *
 * Deviations from TRL's SFTTrainer: (1) prompt tokens are absent instead of labelled −100; (2) a batch with every
 * token masked has loss 0, where torch's mean is NaN.
 *
 * `logps`, `mask` and `gradient` have one number per token; the loss is in nats per token (per batch for the sum). Metrics:
 * `loss`, and `num_tokens`, the weight of the tokens of this call.
 */
export const crossEntropy = (
  logps: Float64Array,
  options: Averaging & { readonly reduction?: "mean" | "sum" } = {}
): Loss => {
  const { mask, reduction = "mean" } = options
  sameLength({ logps, mask })
  const scale = reduction === "sum" ? 1 : scaleOf(logps.length, options)
  const gradient = new Float64Array(logps.length)
  let loss = 0
  let tokens = 0
  for (let t = 0; t < logps.length; t++) {
    const weight = mask === undefined ? 1 : mask[t]!
    if (weight === 0) continue
    loss -= weight * logps[t]! * scale
    gradient[t] = -weight * scale
    tokens += weight
  }
  return { loss, gradient, metrics: { loss, num_tokens: tokens } }
}
