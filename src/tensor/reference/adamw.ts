import type { AdamW } from "../backend.ts"

/**
 * m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − learningRate · (m̂ / (√v̂ + eps) + weightDecay · p), with m̂, v̂ corrected
 * for their bias (Loshchilov and Hutter 2019, Algorithm 2, with PyTorch's convention that the decay is multiplied by the
 * learning rate). Gradients are 0 afterwards.
 */
export const adamw = (
  params: Float64Array,
  grads: Float64Array,
  m: Float64Array,
  v: Float64Array,
  update: AdamW
): void => {
  const { beta1, beta2, eps, gradScale, learningRate, step, weightDecay } = update
  for (let i = 0; i < params.length; i++) {
    const gradient = gradScale * grads[i]!
    m[i] = beta1 * m[i]! + (1 - beta1) * gradient
    v[i] = beta2 * v[i]! + (1 - beta2) * gradient * gradient
    const mean = m[i]! / (1 - beta1 ** step)
    const square = v[i]! / (1 - beta2 ** step)
    params[i] = params[i]! - learningRate * (mean / (Math.sqrt(square) + eps) + weightDecay * params[i]!)
    grads[i] = 0
  }
}
