import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"

/**
 * Reward after compute c ≥ 0 (ScaleRL, Khatri et al. 2025, arXiv 2510.13786, eq. 1): R₀ + (A − R₀) / (1 + (C_mid / c)^B), with the start R₀,
 * the asymptote A, the compute C_mid of half the gain and the steepness B.
 */
const rewardAt = (
  { asymptote, middle, start, steepness }: Readonly<Record<"asymptote" | "middle" | "start" | "steepness", number>>,
  c: number
): number => start + (asymptote - start) / (1 + (middle / c) ** steepness)

const curve = fc.record({
  start: fc.double({ min: 0, max: 0.5, noNaN: true }),
  gain: fc.double({ min: 0.01, max: 0.5, noNaN: true }),
  middle: fc.double({ min: 1, max: 1e4, noNaN: true }),
  steepness: fc.double({ min: 0.2, max: 4, noNaN: true })
}).map(({ gain, ...rest }) => ({ ...rest, asymptote: rest.start + gain }))
const compute = fc.double({ min: 0, max: 1e6, noNaN: true })

describe("invariant 41: reward against compute", () => {
  it("begins at the start, is half-way at the middle, grows, and stays under its asymptote", () => {
    fc.assert(fc.property(curve, compute, compute, (curve, a, b) => {
      assert.strictEqual(rewardAt(curve, 0), curve.start)
      assert.closeTo(rewardAt(curve, curve.middle), (curve.start + curve.asymptote) / 2, 1e-12)
      assert.isAtMost(rewardAt(curve, Math.min(a, b)), rewardAt(curve, Math.max(a, b)))
      assert.isAtMost(rewardAt(curve, a), curve.asymptote)
    }))
  })
  it("the published curves of batches of 512 and 2048 cross", () => {
    const small = { start: 0, asymptote: 0.605, middle: 2818, steepness: 1.77 }
    const large = { start: 0, asymptote: 0.645, middle: 10909, steepness: 1.7 }
    assert.isAbove(rewardAt(small, 5000), rewardAt(large, 5000))
    assert.isBelow(rewardAt(small, 1e6), rewardAt(large, 1e6))
  })
})
