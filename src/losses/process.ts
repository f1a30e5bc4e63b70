import { sigmoid, softplus } from "./logistic.ts"
import { type Loss, poison, sameLength } from "./loss.ts"
import { outcome } from "./outcome.ts"

/**
 * Cross-entropy of a process reward model's steps. `binary`: labels 0 and 1, as `outcome`. `ternary`: −1, 0 (neutral) and 1 as ordered
 * logits on one scalar (McCullagh 1980, proportional odds, with cut points ∓1):
 *
 *     P(y ≥ 0) = σ(z + 1)     P(y = 1) = σ(z − 1)     P(0) = σ(z + 1) σ(1 − z) (1 − e⁻²)
 *     L = −(1/N) Σ log P(y)
 *     dL/dz · N = σ(z + 1) for y = −1;   σ(z − 1) − σ(−z − 1) for 0;   −σ(1 − z) for 1
 *
 * Deviation from PRM800K's three-way softmax (Lightman et al. 2023): the head has one number, and the labels are ordered.
 */
export const processLoss = (logits: Float64Array, labels: ArrayLike<number>, scale: "binary" | "ternary"): Loss => {
  if (scale === "binary") return outcome(logits, labels)
  sameLength({ logits, labels })
  const by = logits.length === 0 ? 0 : 1 / logits.length
  let [loss, right] = [0, 0]
  const gradient = logits.map((z, i) => {
    const y = labels[i]!
    const wrong = softplus(z + 1)
    const good = softplus(1 - z)
    const surprise = y < 0 ? wrong : y > 0 ? good : softplus(-z - 1) + softplus(z - 1) - Math.log1p(-Math.exp(-2))
    loss += (surprise + poison(z)) * by
    if ((z < -1 ? -1 : z > 1 ? 1 : 0) === y) right++
    return by * (y < 0 ? sigmoid(z + 1) : y > 0 ? -sigmoid(1 - z) : sigmoid(z - 1) - sigmoid(-z - 1))
  })
  return { loss, gradient, metrics: logits.length === 0 ? {} : { accuracy: right * by } }
}
