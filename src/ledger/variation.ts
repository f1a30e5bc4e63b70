/**
 * Total variation, half of Σ |P − R|: |E_P f − E_R f| ≤ TV · (max f − min f), for any f. It is a metric, so it adds up along a chain, also
 * from KLs of single stages, which KL itself does not. It is at most 1; a bound of 1 has no information.
 *
 * Whole millionths, rounded up.
 */
import { klOf, type RenyiBound } from "./renyi.ts"

export interface VariationBound {
  readonly _tag: "VariationBound"
  readonly millionths: number
}

export const variationOf = (share: number): VariationBound => ({
  _tag: "VariationBound",
  millionths: Math.min(1e6, Math.max(0, Math.ceil(share * 1e6 - 1e-6)))
})

/** From KL in nats: Pinsker's √(KL / 2) or Bretagnolle–Huber's √(1 − e^−KL), the lesser (they cross at KL 1.59). */
export const fromKl = (kl: number): VariationBound =>
  variationOf(Math.min(Math.sqrt(Math.max(0, kl) / 2), Math.sqrt(-Math.expm1(-Math.max(0, kl)))))

/** From the bounds of a step: by its KL, or by its D∞, TV ≤ 1 − e^−D∞ (exact for a filter); 1 for an unknown step. */
export const fromRenyi = (bound: RenyiBound | null): VariationBound =>
  bound === null
    ? variationOf(1)
    : least(fromKl(klOf(bound) / 1000), variationOf(-Math.expm1(-bound.mnats.at(-1)! / 1000)))

const least = (a: VariationBound, b: VariationBound): VariationBound => a.millionths < b.millionths ? a : b

/** A sequence of steps: the triangle inequality. */
export const chain = (...links: ReadonlyArray<VariationBound>): VariationBound => ({
  _tag: "VariationBound",
  millionths: Math.min(1e6, links.reduce((sum, { millionths }) => sum + millionths, 0))
})
