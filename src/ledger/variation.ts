/**
 * Total variation, half of Σ |P − R|: what a bound on it says is |E_P f − E_R f| ≤ TV · (max f − min f), for any f. It is a metric, so it adds
 * along a chain, from KLs of single stages too, which KL itself does not; it is at most 1, and then says nothing.
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

/** From what is known of a step: by its KL, or by its D∞, TV ≤ 1 − e^−D∞ (a filter's exactly). All of it, where nothing is known. */
export const fromRenyi = (bound: RenyiBound | null): VariationBound =>
  bound === null
    ? variationOf(1)
    : least(fromKl(klOf(bound) / 1000), variationOf(-Math.expm1(-bound.mnats.at(-1)! / 1000)))

const least = (a: VariationBound, b: VariationBound): VariationBound => a.millionths < b.millionths ? a : b

/** One step after another: the triangle inequality. */
export const chain = (...links: ReadonlyArray<VariationBound>): VariationBound => ({
  _tag: "VariationBound",
  millionths: Math.min(1e6, links.reduce((sum, { millionths }) => sum + millionths, 0))
})
