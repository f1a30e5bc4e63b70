import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { whiten } from "../../src/losses/whiten.ts"
import { assertClose, f64, numbers, total } from "./gradients.ts"

const spread = numbers(-5, 5, 6).filter((xs) => Math.max(...xs) - Math.min(...xs) > 0.5)
const mean = (xs: Float64Array): number => total(xs) / xs.length
const variance = (xs: Float64Array): number => total(xs.map((x) => (x - mean(xs)) ** 2)) / (xs.length - 1)

describe("whitening", () => {
  it("by hand", () => {
    // 1, 2, 3: mean 2, variance (1 + 0 + 1) / 2 = 1.
    assertClose(whiten(f64(1, 2, 3)), [-1, 0, 1], 1e-8)
    assertClose(whiten(f64(1, 2, 3), { shiftMean: false }), [1, 2, 3], 1e-8)
    // 0, 4: variance 8.
    assertClose(whiten(f64(0, 4), { shiftMean: false }), [2 - Math.SQRT1_2, 2 + Math.SQRT1_2], 1e-8)
  })

  it("invariant 22: mean 0 and variance 1; with shiftMean false the mean stays", () => {
    fc.assert(fc.property(spread, (xs) => {
      assert.closeTo(mean(whiten(xs)), 0, 1e-12)
      assert.closeTo(variance(whiten(xs)), 1, 1e-6)
      const kept = whiten(xs, { shiftMean: false })
      assert.closeTo(mean(kept), mean(xs), 1e-12)
      assert.closeTo(variance(kept), 1, 1e-6)
    }))
  })

  it("shift and positive scale of the input do not matter", () => {
    fc.assert(fc.property(spread, fc.double({ min: 0.5, max: 9, noNaN: true }), (xs, scale) => {
      assertClose(whiten(xs.map((x) => scale * x - 3)), whiten(xs), 1e-6)
    }))
  })

  it("equal numbers, one number and none stay finite; NaN comes through everywhere", () => {
    assertClose(whiten(f64(2, 2)), [0, 0], 0)
    assertClose(whiten(f64(7)), [0], 0)
    assert.strictEqual(whiten(f64()).length, 0)
    assert.isTrue(whiten(f64(1, NaN)).every((x) => Number.isNaN(x)))
    assert.isTrue(whiten(f64(1, Infinity)).every((x) => Number.isNaN(x)))
  })
})
