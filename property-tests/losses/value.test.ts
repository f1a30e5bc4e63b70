import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { valueLoss } from "../../src/losses/value.ts"
import { assertClose, f64, finiteDifferences, masks, numbers, total } from "./gradients.ts"

const length = 5
const clipRange = 0.2
const tokens = fc.record({
  values: numbers(-2, 2, length),
  oldValues: numbers(-2, 2, length),
  returns: numbers(-2, 2, length),
  mask: masks(length)
})

describe("value loss", () => {
  it("by hand", () => {
    // Old value 0, ε = 0.2. V = 1, R = 1: clipped to 0.2, ½ · 0.8² = 0.32, no gradient. V = −1, R = 1: the plain error −2 is
    // larger than the clipped −1.2: ½ · 4 = 2, gradient −2. Halves for two tokens.
    const { gradient, loss, metrics } = valueLoss(f64(1, -1), f64(0, 0), f64(1, 1), { clipRange })
    assert.closeTo(loss, (0.32 + 2) / 2, 1e-15)
    assertClose(gradient, [0, -1], 1e-15)
    assert.deepStrictEqual(metrics, { "loss/value_avg": loss, "val/clipfrac_avg": 0.5 })
  })

  it("invariant 34: the gradient is the finite difference", () => {
    fc.assert(fc.property(tokens, ({ mask, oldValues, returns, values }) => {
      // Kinks: the edge of the range, and where plain and clipped error are equal in size on either side of the return.
      fc.pre(values.every((v, t) => {
        const clipped = Math.min(Math.max(v, oldValues[t]! - clipRange), oldValues[t]! + clipRange)
        const [plain, cut] = [Math.abs(v - returns[t]!), Math.abs(clipped - returns[t]!)]
        return Math.abs(Math.abs(v - oldValues[t]!) - clipRange) > 1e-3 &&
          (v === clipped || Math.abs(plain - cut) > 1e-3)
      }))
      const { gradient } = valueLoss(values, oldValues, returns, { clipRange, mask })
      const f = (x: Float64Array): number => valueLoss(x, oldValues, returns, { clipRange, mask }).loss
      assertClose(gradient, finiteDifferences(f, values), 1e-8)
    }))
  })

  it("invariant 22: never below the unclipped loss, equal to it within the range and for an infinite range", () => {
    fc.assert(fc.property(tokens, ({ oldValues, returns, values }) => {
      const plain = (v: Float64Array): number => total(v.map((x, t) => 0.5 * (x - returns[t]!) ** 2)) / length
      assert.isAtLeast(valueLoss(values, oldValues, returns, { clipRange }).loss, plain(values) - 1e-12)
      assert.closeTo(valueLoss(values, oldValues, returns, { clipRange: Infinity }).loss, plain(values), 1e-12)
      const near = values.map((v, t) => oldValues[t]! + 0.09 * v)
      assert.closeTo(valueLoss(near, oldValues, returns, { clipRange }).loss, plain(near), 1e-12)
    }))
  })

  it("invariant 20: micro-batches add up; all masked is 0", () => {
    fc.assert(fc.property(tokens, ({ oldValues, returns, values }) => {
      const part = (from: number, to: number) =>
        valueLoss(values.slice(from, to), oldValues.slice(from, to), returns.slice(from, to), {
          clipRange,
          denominator: length
        })
      assert.closeTo(
        part(0, 2).loss + part(2, 5).loss,
        valueLoss(values, oldValues, returns, { clipRange }).loss,
        1e-12
      )
    }))
    assert.strictEqual(valueLoss(f64(1), f64(0), f64(3), { clipRange, mask: [0] }).loss, 0)
  })

  it("non-finite input comes through", () => {
    for (const x of [NaN, Infinity, -Infinity]) {
      for (const args of [[x, 0, 1], [0, x, 1], [0, 1, x]]) {
        const [v, old, r] = args.map((a) => f64(a))
        assert.isFalse(Number.isFinite(valueLoss(v!, old!, r!, { clipRange }).loss), `${args}`)
      }
    }
  })
})
