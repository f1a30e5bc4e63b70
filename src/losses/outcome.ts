import { sigmoid, softplus } from "./logistic.ts"
import { type Loss, poison, sameLength } from "./loss.ts"

/**
 * Binary cross-entropy of log-odds z with labels y in {0, 1}: of an outcome reward model the final correctness after every token (Cobbe
 * et al. 2021, arXiv 2110.14168, §4.2), of a process reward model the correctness of each step.
 *
 *     L = (1/N) Σ [ log(1 + e^z) − y z ]        dL/dz = (σ(z) − y) / N
 *
 * Equal to the cross-entropy of two classes with logits 0 and z (TRL's PRMTrainer: z = z₁ − z₀). Without labels it has
 * loss 0. Metric: `accuracy`, a tie being a miss.
 */
export const outcome = (logits: Float64Array, labels: ArrayLike<number>): Loss => {
  sameLength({ logits, labels })
  const scale = logits.length === 0 ? 0 : 1 / logits.length
  let [loss, right] = [0, 0]
  const gradient = logits.map((z, i) => {
    const y = labels[i]!
    loss += (softplus(z) - y * z + poison(z)) * scale
    if (y === 1 ? z > 0 : z < 0) right++
    return (sigmoid(z) - y) * scale
  })
  return { loss, gradient, metrics: logits.length === 0 ? {} : { accuracy: right * scale } }
}
