import { poison } from "./loss.ts"

/**
 * The loss of a ratio ρ and an advantage A, away from ρ = 1. `dsl/PolicyLoss.ts` has the source of each shape.
 *
 *     Unclipped        −ρA
 *     Clipped          max(−ρA, −clip(ρ, 1 − low, 1 + high) A)
 *     DualClipped      the same, and no more than −bound·A where A < 0
 *     SoftGated        −(4/τ) σ(τ(ρ − 1)) A
 *     DetachedWeight   −sg(min(ρ, max)) A log π
 */
export type Clip =
  | { readonly _tag: "Unclipped" }
  | { readonly _tag: "Clipped"; readonly low: number; readonly high: number }
  | { readonly _tag: "DualClipped"; readonly low: number; readonly high: number; readonly bound: number }
  | { readonly _tag: "SoftGated"; readonly positive: number; readonly negative: number }
  | { readonly _tag: "DetachedWeight"; readonly max: number }

/** The loss of one token and its derivatives. */
export interface Shaped {
  readonly value: number
  /** Derivative with respect to log ρ. */
  readonly throughRatio: number
  /** Derivative with respect to the token's own log π, where log π stands outside of ρ. */
  readonly throughLogp: number
  /** Whether the gradient is cut: the ratio is too low, too high, or beyond the second bound of a dual clip. */
  readonly cut: "low" | "high" | "bound" | null
}

const clipped = (ratio: number, advantage: number, low: number, high: number): Shaped => {
  const plain = -ratio * advantage
  const cut = -Math.min(Math.max(ratio, 1 - low), 1 + high) * advantage
  return cut > plain
    ? { value: cut, throughRatio: 0, throughLogp: 0, cut: ratio < 1 ? "low" : "high" }
    : { value: Math.max(plain, cut), throughRatio: plain, throughLogp: 0, cut: null }
}

/** Only the shapes with a detached weight read `logp`. */
export const shape = (clip: Clip, ratio: number, advantage: number, logp: number): Shaped => {
  switch (clip._tag) {
    case "Unclipped": {
      const plain = -ratio * advantage
      return { value: plain, throughRatio: plain, throughLogp: 0, cut: null }
    }
    case "Clipped":
      return clipped(ratio, advantage, clip.low, clip.high)
    case "DualClipped": {
      const one = clipped(ratio, advantage, clip.low, clip.high)
      const most = -clip.bound * advantage
      return advantage < 0 && one.value > most ? { value: most, throughRatio: 0, throughLogp: 0, cut: "bound" } : one
    }
    case "SoftGated": {
      const tau = advantage > 0 ? clip.positive : clip.negative
      const gate = 1 / (1 + Math.exp(-tau * (ratio - 1)))
      return {
        value: -(4 / tau) * gate * advantage,
        // 0 · Infinity where the gate is shut for good.
        throughRatio: gate === 1 ? poison(ratio) : -4 * gate * (1 - gate) * ratio * advantage,
        throughLogp: 0,
        cut: null
      }
    }
    case "DetachedWeight": {
      const weight = Math.min(ratio, clip.max)
      // TRL counts the tokens that it would have raised.
      const cut = ratio > clip.max && advantage > 0 ? "high" : null
      return { value: -weight * advantage * logp, throughRatio: 0, throughLogp: -weight * advantage, cut }
    }
  }
}
