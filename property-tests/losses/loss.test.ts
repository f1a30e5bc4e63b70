import { assert, describe, it } from "vitest"
import { ppo } from "../../src/losses/ppo.ts"
import { poison, sameLength, scaleOf } from "../../src/losses/loss.ts"
import { f64 } from "./gradients.ts"

describe("what losses share", () => {
  it("invariant 33: a mean divides by the mask's sum, by the denominator when there is one, and is 0 of nothing", () => {
    assert.strictEqual(scaleOf(4, {}), 1 / 4)
    assert.strictEqual(scaleOf(4, { mask: [1, 0, 1, 0] }), 1 / 2)
    assert.strictEqual(scaleOf(4, { mask: [1, 0, 1, 0], denominator: 8 }), 1 / 8)
    assert.strictEqual(scaleOf(0, { denominator: 8 }), 0)
    assert.strictEqual(scaleOf(2, { mask: [0, 0], denominator: 8 }), 0)
  })

  it("arrays of different lengths throw, and name themselves", () => {
    sameLength({ a: f64(1), b: undefined, c: [2] })
    assert.throws(() => sameLength({ a: f64(1), b: f64() }), "lengths differ: a 1, b 0")
  })

  it("what is not finite stays so", () => {
    assert.strictEqual(poison(3), 0)
    for (const x of [NaN, Infinity, -Infinity]) assert.isNaN(poison(x))
  })

  it("the ratio's mean and variance by hand: ratios 2 and 4 with weights 1 and 3", () => {
    const { metrics } = ppo(f64(Math.LN2, 2 * Math.LN2), f64(0, 0), f64(1, 1), { clipRange: 0.2, mask: [1, 3] })
    // Mean (2 + 12) / 4 = 3.5; variance (1 · 1.5² + 3 · 0.5²) / 4 = 0.75.
    assert.closeTo(metrics["val/ratio"]!, 3.5, 1e-12)
    assert.closeTo(metrics["val/ratio_var"]!, 0.75, 1e-12)
  })
})
