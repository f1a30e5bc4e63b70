import { gae } from "./gae.ts"
import { poison } from "./loss.ts"
import { sumRows } from "./ragged.ts"
import { tokenRewards } from "./rewards.ts"

/** Baseline and scale; formulas, papers and expected gradients: `dsl/Advantage.ts`. */
export type GroupAdvantage =
  | { readonly _tag: "MonteCarlo" | "GroupMean" | "LeaveOneOut" | "MaxNormalised" }
  | { readonly _tag: "GroupStd"; readonly ddof: 0 | 1; readonly epsilon: number }

const one = (advantage: GroupAdvantage, rewards: Float64Array): Float64Array => {
  const size = rewards.length
  const mean = rewards.reduce((sum, r) => sum + r, 0) / size
  // Rounding must not make an advantage out of equal rewards, least of all divided by their standard deviation.
  const equal = rewards.every((r) => r === rewards[0])
  const centred = rewards.map((r) => equal ? poison(r) : r - mean)
  switch (advantage._tag) {
    case "MonteCarlo":
      return rewards
    case "GroupMean":
      return centred
    case "LeaveOneOut":
      return centred.map((r) => r * size / (size - 1))
    case "GroupStd": {
      if (equal) return centred
      const variance = centred.reduce((sum, r) => sum + r * r, 0) / (size - advantage.ddof)
      const scale = Math.sqrt(variance) + advantage.epsilon
      return centred.map((r) => r / scale)
    }
    case "MaxNormalised":
      return mean > 0 ? centred.map((r) => r / mean) : centred.map(poison)
  }
}

/** The advantage of each completion; groups of `groupSize` rewards stand one after the other. */
export const groupAdvantages = (
  advantage: GroupAdvantage,
  rewards: Float64Array,
  groupSize: number
): Float64Array => {
  if (groupSize < 1 || rewards.length % groupSize !== 0) {
    throw new Error(`${rewards.length} rewards do not divide into groups of ${groupSize}`)
  }
  const advantages = new Float64Array(rewards.length)
  for (let at = 0; at < rewards.length; at += groupSize) {
    advantages.set(one(advantage, rewards.slice(at, at + groupSize)), at)
  }
  return advantages
}

/** Whether the rewards of each group differ at all: a group with equal rewards has no gradient (DAPO's dynamic sampling). */
export const informative = (rewards: Float64Array, groupSize: number): ReadonlyArray<boolean> =>
  Array.from({ length: rewards.length / groupSize }, (_, g) => {
    const group = rewards.subarray(g * groupSize, (g + 1) * groupSize)
    return group.some((r) => r !== group[0])
  })

/**
 * The advantage of each token. The reward of a completion is its score less β log(π/ref) of all its tokens where `refLogps` are
 * given (KL in the reward, as TRL's RLOOTrainer); with `MonteCarlo` a token has the rewards from itself on. `logps`,
 * `refLogps` and `earned` (`tokenRewards`) have one number per token, `scores` one per row.
 */
export const tokenAdvantages = (
  advantage: GroupAdvantage,
  batch: {
    readonly scores: Float64Array
    readonly logps: Float64Array
    readonly refLogps: Float64Array | null
    readonly earned?: Float64Array | null
    readonly offsets: Int32Array
  },
  { beta, groupSize }: { readonly beta: number; readonly groupSize: number }
) => {
  const { earned = null, logps, offsets, refLogps, scores } = batch
  const { metrics, rewards } = tokenRewards(logps, refLogps, scores, offsets, {
    beta: refLogps === null ? 0 : beta,
    earned
  })
  if (advantage._tag === "MonteCarlo") {
    const { advantages } = gae(rewards, new Float64Array(rewards.length), offsets, { gamma: 1, lambda: 1 })
    return { advantages, metrics }
  }
  const rows = groupAdvantages(advantage, sumRows(rewards, offsets), groupSize)
  const advantages = new Float64Array(rewards.length)
  rows.forEach((a, row) => advantages.fill(a, offsets[row], offsets[row + 1]))
  return { advantages, metrics }
}
