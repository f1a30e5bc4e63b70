import { sameLength } from "./loss.ts"

/**
 * Generalised advantage estimation, backwards over each row.
 *
 *     δ_t = r_t + γ V_{t+1} − V_t        A_t = δ_t + γλ A_{t+1}        return_t = A_t + V_t
 *
 * Schulman et al. 2016 (arXiv 1506.02438) eq. 11, 12 and 16. A completion is an episode: after its last token V and A are 0.
 *
 * Deviations from TRL's PPOTrainer: (1) TRL counts one padding position after the last token as part of the episode
 * (`sequence_lengths_p1`); here the episode ends with the last token.
 *
 * λ may differ by row: `byLength`.
 *
 * `rewards`, `values` (V *before* each token, `beforeTokens` of a scalar head's output) and both results have one number per
 * token; row i owns `offsets[i] … offsets[i + 1]`.
 */
export const gae = (
  rewards: Float64Array,
  values: Float64Array,
  offsets: Int32Array,
  { gamma, lambda }: { readonly gamma: number; readonly lambda: number | Float64Array }
): { readonly advantages: Float64Array; readonly returns: Float64Array } => {
  sameLength({ rewards, values })
  const advantages = new Float64Array(rewards.length)
  const returns = new Float64Array(rewards.length)
  for (let row = 0; row + 1 < offsets.length; row++) {
    const own = typeof lambda === "number" ? lambda : lambda[row]!
    let [nextValue, nextAdvantage] = [0, 0]
    for (let t = offsets[row + 1]! - 1; t >= offsets[row]!; t--) {
      const delta = rewards[t]! + gamma * nextValue - values[t]!
      nextAdvantage = delta + gamma * own * nextAdvantage
      nextValue = values[t]!
      advantages[t] = nextAdvantage
      returns[t] = nextAdvantage + values[t]!
    }
  }
  return { advantages, returns }
}

/**
 * λ of each row from its length l: 1 − 1/(α l), and 0 where α l < 1 (VAPO, Yue et al. 2025, arXiv 2504.05118, eq. 10). So the weights of TD errors
 * add up to α l: a reward at the end of a long completion reaches its beginning.
 */
export const byLength = (offsets: Int32Array, alpha: number): Float64Array =>
  Float64Array.from(offsets.subarray(1), (end, row) => Math.max(0, 1 - 1 / (alpha * (end - offsets[row]!))))
