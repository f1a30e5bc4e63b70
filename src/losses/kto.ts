import { sigmoid } from "./logistic.ts"
import { type Loss, poison, sameLength } from "./loss.ts"
import { sumRows } from "./ragged.ts"

/**
 * Kahneman–Tversky optimisation of answers that are labelled one by one. h = log π/π_ref of the sequence, z₀ the detached
 * estimate of KL(π‖π_ref) (`ktoKl`):
 *
 *     L = (1/N) [ Σ_desirable w_d (1 − σ(β(h − z₀))) + Σ_undesirable w_u (1 − σ(β(z₀ − h))) ]
 *     dL/dlogp_t = ∓ w β σ′(β(h − z₀)) / N
 *
 * Ethayarajh et al. 2024 (arXiv 2402.01306) eq. 7 and 8. With z₀ = 0 it is the unpaired APO-zero (D'Oosterlinck et al. 2024,
 * arXiv 2408.06266, eq. 7), which has no KL to estimate.
 *
 * Deviations from TRL's KTOTrainer: (1) no answers give loss 0, not NaN; (2) a non-finite log-probability makes the loss NaN.
 *
 * `logps` and the gradient have one number per token, `refLogps` the *sum* of each row under the reference, `desirable` one
 * label a row. Metrics: `kl` (z₀), `rewards/chosen` and `logps/chosen` (means over the desirable rows), `rewards/rejected`
 * and `logps/rejected` (over the others), `rewards/margins`; metrics of a label that is not in the batch are left out.
 */
export const kto = (
  logps: Float64Array,
  refLogps: Float64Array,
  offsets: Int32Array,
  desirable: ReadonlyArray<boolean>,
  { beta, desirableWeight = 1, kl, undesirableWeight = 1 }: {
    readonly beta: number
    readonly kl: number
    readonly desirableWeight?: number
    readonly undesirableWeight?: number
  }
): Loss => {
  const sums = sumRows(logps, offsets)
  sameLength({ rows: sums, refLogps, desirable: desirable.map(Number) })
  const scale = sums.length === 0 ? 0 : 1 / sums.length
  const gradient = new Float64Array(logps.length)
  const total = { chosen: { rows: 0, logps: 0, rewards: 0 }, rejected: { rows: 0, logps: 0, rewards: 0 } }
  let loss = poison(kl)
  sums.forEach((sum, row) => {
    const h = sum - refLogps[row]!
    const [sign, weight] = desirable[row]! ? [1, desirableWeight] : [-1, undesirableWeight]
    const value = sigmoid(sign * beta * (h - kl))
    loss += scale * weight * (1 - value) + poison(h)
    gradient.fill(-sign * scale * weight * beta * value * (1 - value), offsets[row]!, offsets[row + 1]!)
    const of = desirable[row]! ? total.chosen : total.rejected
    of.rows++
    of.logps += sum
    of.rewards += beta * h
  })
  const metrics: Record<string, number> = { kl }
  for (const [name, { logps, rewards, rows }] of Object.entries(total)) {
    if (rows === 0) continue
    metrics[`rewards/${name}`] = rewards / rows
    metrics[`logps/${name}`] = logps / rows
  }
  if (total.chosen.rows > 0 && total.rejected.rows > 0) {
    metrics["rewards/margins"] = metrics["rewards/chosen"]! - metrics["rewards/rejected"]!
  }
  return { loss, gradient, metrics }
}

/**
 * z₀ = max(0, mean log π/π_ref) over prompts with the answers of *other* rows, sums of each such row (Ethayarajh et al. 2024,
 * §4.1); 0 when there is none. It is a number, not a function of the policy: no gradient goes through it.
 */
export const ktoKl = (logps: Float64Array, refLogps: Float64Array): number => {
  sameLength({ logps, refLogps })
  const sum = logps.reduce((sum, x, i) => sum + x - refLogps[i]!, 0)
  // Math.max(0, NaN) is NaN: a non-finite value stays visible.
  return logps.length === 0 ? 0 : Math.max(0, sum / logps.length)
}
