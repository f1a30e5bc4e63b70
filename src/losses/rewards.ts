import { sameLength } from "./loss.ts"
import { sumRows } from "./ragged.ts"

/**
 * Per-token rewards of RLHF with PPO: the KL penalty on every token, the score on the last.
 *
 *     r_t = −β (log π(y_t) − log ref(y_t)) + earned_t + 1[t is the last token] · (score − Σ earned)
 *
 * `earned` is the part of the score that stands where an environment gave it; without one, all of it stands at the end.
 *
 * Ziegler et al. 2019 (arXiv 1909.08593) eq. 2; Ouyang et al. 2022 eq. 2. The estimator is always k1: in a reward its
 * policy gradient is exactly ∇KL(π‖ref), and that of k2 or k3 is not (kl.ts).
 *
 * Deviations from TRL's PPOTrainer: (1) no choice of estimator; (2) the score is on the last token, not after it.
 *
 * `logps` (of the policy that sampled) and `refLogps` have one number per token, `scores` one per row; row i owns
 * `offsets[i] … offsets[i + 1]`. `refLogps` may be null only with β = 0: a penalty needs a reference. Metrics, means over
 * rows: `objective/scores`, `objective/non_score_reward`, `objective/rlhf_reward`, and with a reference `objective/kl`.
 */
export const tokenRewards = (
  logps: Float64Array,
  refLogps: Float64Array | null,
  scores: Float64Array,
  offsets: Int32Array,
  { beta, earned = null }: { readonly beta: number; readonly earned?: Float64Array | null }
): { readonly rewards: Float64Array; readonly metrics: Readonly<Record<string, number>> } => {
  if (refLogps === null && beta !== 0) {
    throw new Error(`beta is ${beta}: a KL penalty needs reference log-probabilities`)
  }
  sameLength({ logps, refLogps: refLogps ?? logps, earned: earned ?? logps })
  const differences = new Float64Array(logps.length)
  const rewards = new Float64Array(logps.length)
  if (refLogps !== null) {
    for (let t = 0; t < logps.length; t++) {
      differences[t] = logps[t]! - refLogps[t]!
      rewards[t] = -beta * differences[t]!
    }
  }
  const rows = scores.length
  if (rows !== offsets.length - 1) throw new Error(`${rows} scores for ${offsets.length - 1} rows`)
  for (let row = 0; row < rows; row++) {
    if (offsets[row] === offsets[row + 1]) throw new Error(`row ${row} has no tokens: no token can carry its score`)
    let atEnd = scores[row]!
    if (earned !== null) {
      for (let t = offsets[row]!; t < offsets[row + 1]!; t++) {
        rewards[t]! += earned[t]!
        atEnd -= earned[t]!
      }
    }
    rewards[offsets[row + 1]! - 1]! += atEnd
  }
  const mean = (numbers: Float64Array): number => rows === 0 ? 0 : numbers.reduce((sum, x) => sum + x, 0) / rows
  const kl = mean(sumRows(differences, offsets))
  const score = mean(scores)
  const metrics: Record<string, number> = {
    "objective/scores": score,
    "objective/non_score_reward": -beta * kl,
    "objective/rlhf_reward": score - beta * kl
  }
  if (refLogps !== null) metrics["objective/kl"] = kl
  return { rewards, metrics }
}
