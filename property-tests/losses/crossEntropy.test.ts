import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { crossEntropy } from "../../src/losses/crossEntropy.ts"
import { assertClose, f64, finiteDifferences, masks, numbers } from "./gradients.ts"

const length = 6
const batch = fc.record({ logps: numbers(-8, 0, length), mask: masks(length) })

describe("cross-entropy", () => {
  it("by hand", () => {
    // Probabilities 1/2, 1/4, 1/8 with the second masked: (ln 2 + ln 8) / 2 = 2 ln 2.
    const { gradient, loss, metrics } = crossEntropy(f64(-Math.log(2), -Math.log(4), -Math.log(8)), { mask: [1, 0, 1] })
    assert.closeTo(loss, 2 * Math.LN2, 1e-15)
    assert.deepStrictEqual(gradient, f64(-0.5, 0, -0.5))
    assert.deepStrictEqual(metrics, { loss, num_tokens: 2 })
    assert.closeTo(crossEntropy(f64(-1, -2, -3), { reduction: "sum" }).loss, 6, 1e-15)
  })

  it("invariant 34: the gradient is the finite difference", () => {
    fc.assert(fc.property(batch, fc.constantFrom("mean" as const, "sum" as const), ({ logps, mask }, reduction) => {
      const { gradient } = crossEntropy(logps, { mask, reduction })
      assertClose(gradient, finiteDifferences((x) => crossEntropy(x, { mask, reduction }).loss, logps), 1e-8)
    }))
  })

  it("invariant 33: what a masked token holds leaves loss and gradient unchanged, be it NaN", () => {
    fc.assert(fc.property(batch, fc.constantFrom(NaN, -Infinity, -3), ({ logps, mask }, other) => {
      const changed = logps.map((x, i) => mask[i] === 0 ? other : x)
      assert.deepStrictEqual(crossEntropy(changed, { mask }), crossEntropy(logps, { mask }))
    }))
  })

  it("invariant 33: everything masked, or nothing there: 0, not NaN", () => {
    const { gradient, loss } = crossEntropy(f64(-1, -2), { mask: [0, 0] })
    assert.strictEqual(loss, 0)
    assert.deepStrictEqual(gradient, f64(0, 0))
    assert.strictEqual(crossEntropy(f64()).loss, 0)
  })

  it("invariant 20: micro-batches with the whole batch's denominator add up to the batch; a mean of means does not", () => {
    fc.assert(fc.property(batch, fc.integer({ min: 0, max: length }), ({ logps, mask }, cut) => {
      const denominator = mask.reduce((sum, m) => sum + m, 0)
      const part = (from: number, to: number) =>
        crossEntropy(logps.slice(from, to), { mask: mask.slice(from, to), denominator })
      const [whole, first, second] = [crossEntropy(logps, { mask }), part(0, cut), part(cut, length)]
      assert.closeTo(first.loss + second.loss, whole.loss, 1e-12)
      assertClose([...first.gradient, ...second.gradient], whole.gradient, 1e-15)
    }))
    // (3 + (1 + 1) / 2) / 2 = 2 for the mean of means, (3 + 1 + 1) / 3 = 5/3 for the mean over tokens.
    const means = (crossEntropy(f64(-3)).loss + crossEntropy(f64(-1, -1)).loss) / 2
    assert.closeTo(means, 2, 1e-15)
    assert.closeTo(crossEntropy(f64(-3, -1, -1)).loss, 5 / 3, 1e-15)
  })

  it("non-finite input comes through", () => {
    assert.isNaN(crossEntropy(f64(-1, NaN)).loss)
    assert.strictEqual(crossEntropy(f64(-1, -Infinity)).loss, Infinity)
  })

  it("arrays of different lengths throw", () => {
    assert.throws(() => crossEntropy(f64(-1, -2), { mask: [1] }), "lengths differ: logps 2, mask 1")
  })
})
