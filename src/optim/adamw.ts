/** One AdamW update of a flat buffer of parameters; the fields of `AdamW` in tensor/backend.ts. */
export interface AdamW {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  /** 1-based number of this update, for the bias correction. */
  readonly step: number
  /** The gradient is multiplied by this first; see `clipScale`. */
  readonly gradScale: number
}

/**
 * The factor of a gradient with this global L2 norm that makes it at most `maxGradNorm` (Pascanu et al. 2013, arXiv
 * 1211.5063). torch's `clip_grad_norm_` divides by norm + 10⁻⁶ instead: a relative difference of 10⁻⁶ at norm 1.
 */
export const clipScale = (norm: number, maxGradNorm: number): number => norm > maxGradNorm ? maxGradNorm / norm : 1

/**
 * AdamW with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101, Algorithm 2, as torch has it: the decay
 * is multiplied by the learning rate). Updates `params`, `m` and `v` in place and sets `grads` to 0.
 *
 *     θ ← θ (1 − lr · wd)
 *     m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
 *     θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps)
 */
export const adamw = (
  params: Float64Array,
  grads: Float64Array,
  m: Float64Array,
  v: Float64Array,
  update: AdamW
): void => {
  const { beta1, beta2, eps, gradScale, learningRate, step } = update
  const keep = 1 - learningRate * update.weightDecay
  const correction1 = 1 - beta1 ** step
  const correction2 = 1 - beta2 ** step
  for (let i = 0; i < params.length; i++) {
    const g = grads[i]! * gradScale
    m[i] = beta1 * m[i]! + (1 - beta1) * g
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g
    params[i] = params[i]! * keep - learningRate * (m[i]! / correction1) / (Math.sqrt(v[i]! / correction2) + eps)
    grads[i] = 0
  }
}
