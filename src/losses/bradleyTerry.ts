import { softplus } from "./logistic.ts"
import { poison, sameLength } from "./loss.ts"

/**
 * Bradley–Terry loss of a reward model on pairs of scores.
 *
 *     L = (1/N) Σ_i [ −log σ(c_i − r_i − m_i) + λ (c_i + r_i)² ]
 *     dL/dc = (−σ(−(c − r − m)) + 2λ(c + r)) / N        dL/dr = (+σ(−(c − r − m)) + 2λ(c + r)) / N
 *
 * Bradley and Terry 1952; Ouyang et al. 2022 eq. 1 (the average over pairs); margin m: Llama 2 (arXiv 2307.09288) eq. 2;
 * centring λ: Eisenstein et al. 2023 (arXiv 2312.09244), TRL's `center_rewards_coefficient`.
 *
 * Deviations from TRL's RewardTrainer: (1) no pairs give loss 0, not NaN.
 *
 * `chosen`, `rejected`, `margin` and both gradients have one number per pair. `denominator` N (default: the number of
 * pairs) is that of the whole batch when pairs come in micro-batches. Metrics, over the pairs of this call: `accuracy`
 * (a tie is a miss), `margin` (mean c − r), `mean_reward`, `min_reward`, `max_reward`.
 */
export const bradleyTerry = (
  chosen: Float64Array,
  rejected: Float64Array,
  options: {
    readonly margin?: Float64Array
    readonly centerRewardsCoefficient?: number
    readonly denominator?: number
  } = {}
) => {
  const { centerRewardsCoefficient: center = 0, margin } = options
  sameLength({ chosen, rejected, margin })
  const pairs = chosen.length
  const scale = pairs === 0 ? 0 : 1 / (options.denominator ?? pairs)
  const gradients = { chosen: new Float64Array(pairs), rejected: new Float64Array(pairs) }
  let [loss, correct, difference, total, least, most] = [0, 0, 0, 0, Infinity, -Infinity]
  for (let i = 0; i < pairs; i++) {
    const [c, r] = [chosen[i]!, rejected[i]!]
    const logit = c - r - (margin === undefined ? 0 : margin[i]!)
    loss += (softplus(-logit) + center * (c + r) ** 2 + poison(logit)) * scale
    const wrong = 1 / (1 + Math.exp(logit))
    gradients.chosen[i] = (-wrong + 2 * center * (c + r)) * scale
    gradients.rejected[i] = (wrong + 2 * center * (c + r)) * scale
    if (c > r) correct++
    difference += c - r
    total += c + r
    least = Math.min(least, c, r)
    most = Math.max(most, c, r)
  }
  const metrics: Record<string, number> = pairs === 0 ? {} : {
    accuracy: correct / pairs,
    margin: difference / pairs,
    mean_reward: total / (2 * pairs),
    min_reward: least,
    max_reward: most
  }
  return { loss, gradients, metrics }
}
