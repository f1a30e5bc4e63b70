import { type Loss, poison, sameLength } from "./loss.ts"

/**
 * Reverse KL from the student's own samples as a policy gradient, with k1 in the reward: every token is paid
 * r_t = log π_T(y_t) − log π_S(y_t), and
 *
 *     A_t = Σ_{u ≥ t} γ^(u − t) r_u        L = −(1/n) Σ_t A_t log π_S(y_t)        dL/dlogp_t = −A_t / n
 *
 * over n sampled sequences, A held fixed. The expected gradient is that of the mean KL(π_S‖π_T) of whole sequences, exactly, for γ = 1.
 * For γ = 0 (Qwen3, arXiv 2505.09388 §4.5; Lu et al. 2025, "On-Policy Distillation") it is the gradient of the sum of the tokens' KLs
 * with the states that the student visits held fixed: less noise, and the way a token leads into states where the teacher disagrees is
 * not charged to the token.
 *
 * `logps` (the student's, when it sampled) and `teacherLogps` have one number per token; row i owns `offsets[i] … offsets[i + 1]`.
 * Metrics: `kl`, the estimate of KL(π_S‖π_T) in nats per sequence (k1), and `kl_per_token`.
 */
export const onPolicyDistill = (
  logps: Float64Array,
  teacherLogps: Float64Array,
  offsets: Int32Array,
  { discount }: { readonly discount: number }
): Loss & { readonly advantages: Float64Array } => {
  sameLength({ logps, teacherLogps })
  const rows = offsets.length - 1
  const scale = rows === 0 ? 0 : 1 / rows
  const advantages = new Float64Array(logps.length)
  let [loss, kl] = [0, 0]
  for (let row = 0; row < rows; row++) {
    let later = 0
    for (let t = offsets[row + 1]! - 1; t >= offsets[row]!; t--) {
      const reward = teacherLogps[t]! - logps[t]!
      later = reward + discount * later
      advantages[t] = later
      kl -= reward * scale
      loss -= later * logps[t]! * scale + poison(reward)
    }
  }
  return {
    loss,
    advantages,
    gradient: advantages.map((advantage) => -advantage * scale),
    metrics: { kl, kl_per_token: logps.length === 0 ? 0 : kl * rows / logps.length }
  }
}
