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
 * `rewards`, `values` (V *before* each token, `beforeTokens` of a scalar head's output) and both results have one number per
 * token; row i owns `offsets[i] … offsets[i + 1]`.
 */
export const gae = (
  rewards: Float64Array,
  values: Float64Array,
  offsets: Int32Array,
  { gamma, lambda }: { readonly gamma: number; readonly lambda: number }
): { readonly advantages: Float64Array; readonly returns: Float64Array } => {
  sameLength({ rewards, values })
  const advantages = new Float64Array(rewards.length)
  const returns = new Float64Array(rewards.length)
  for (let row = 0; row + 1 < offsets.length; row++) {
    let [nextValue, nextAdvantage] = [0, 0]
    for (let t = offsets[row + 1]! - 1; t >= offsets[row]!; t--) {
      const delta = rewards[t]! + gamma * nextValue - values[t]!
      nextAdvantage = delta + gamma * lambda * nextAdvantage
      nextValue = values[t]!
      advantages[t] = nextAdvantage
      returns[t] = nextAdvantage + values[t]!
    }
  }
  return { advantages, returns }
}
