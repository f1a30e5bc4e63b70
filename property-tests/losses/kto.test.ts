import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { kto, ktoKl } from "../../src/losses/kto.ts"
import { assertClose, f64, finiteDifferences, i32, numbers } from "./gradients.ts"

const offsets = i32(0, 2, 3, 6, 7)
const batches = fc.record({
  logps: numbers(-4, -0.05, 7),
  refLogps: numbers(-8, -0.1, 4),
  desirable: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  beta: fc.double({ min: 0.05, max: 2, noNaN: true }),
  kl: fc.double({ min: 0, max: 3, noNaN: true }),
  desirableWeight: fc.double({ min: 0, max: 2, noNaN: true }),
  undesirableWeight: fc.double({ min: 0, max: 2, noNaN: true })
})

describe("KTO", () => {
  it("by hand", () => {
    // h = 1 and −1, β = 1, z₀ = 0.5: ½ [ (1 − σ(0.5)) + (1 − σ(1.5)) ], slopes ∓½ σ′.
    const { gradient, loss, metrics } = kto(f64(-1, -2), f64(-2, -1), i32(0, 1, 2), [true, false], { beta: 1, kl: 0.5 })
    const s = (x: number) => 1 / (1 + Math.exp(-x))
    assert.closeTo(loss, (1 - s(0.5) + 1 - s(1.5)) / 2, 1e-15)
    assertClose(gradient, [-s(0.5) * s(-0.5) / 2, s(1.5) * s(-1.5) / 2], 1e-15)
    assert.deepStrictEqual(metrics, {
      kl: 0.5,
      "rewards/chosen": 1,
      "logps/chosen": -1,
      "rewards/rejected": -1,
      "logps/rejected": -2,
      "rewards/margins": 2
    })
  })

  it("invariant 27: the gradient is the finite differences with z₀ held: none goes through the KL term", () => {
    fc.assert(fc.property(batches, ({ desirable, logps, refLogps, ...options }) => {
      const { gradient } = kto(logps, refLogps, offsets, desirable, options)
      assertClose(gradient, finiteDifferences((x) => kto(x, refLogps, offsets, desirable, options).loss, logps), 1e-8)
    }))
  })

  it("invariant 27: lies in [0, max(w)], and at the reference with KL 0 is w/2", () => {
    fc.assert(fc.property(batches, ({ desirable, logps, refLogps, ...options }) => {
      const { loss } = kto(logps, refLogps, offsets, desirable, options)
      assert.isAtLeast(loss, 0)
      assert.isAtMost(loss, Math.max(options.desirableWeight, options.undesirableWeight))
      const sums = Float64Array.from(
        { length: 4 },
        (_, i) => logps.subarray(offsets[i]!, offsets[i + 1]!).reduce((a, b) => a + b, 0)
      )
      const weight = desirable.reduce((sum, label) =>
        sum + (label ? options.desirableWeight : options.undesirableWeight), 0) / 4
      assert.closeTo(kto(logps, sums, offsets, desirable, { ...options, kl: 0 }).loss, weight / 2, 1e-12)
    }))
  })

  it("z₀ is the mean log-ratio, never below 0; none without other answers; what is not finite stays", () => {
    assert.closeTo(ktoKl(f64(-1, -2), f64(-2, -4)), 1.5, 1e-15)
    assert.strictEqual(ktoKl(f64(-3), f64(-1)), 0)
    assert.strictEqual(ktoKl(f64(), f64()), 0)
    assert.isNaN(ktoKl(f64(NaN), f64(0)))
    assert.isNaN(kto(f64(-1), f64(-1), i32(0, 1), [true], { beta: 1, kl: NaN }).loss)
    assert.isNaN(kto(f64(-Infinity), f64(-1), i32(0, 1), [true], { beta: 1, kl: 0 }).loss)
    assert.strictEqual(kto(f64(), f64(), i32(0), [], { beta: 1, kl: 0 }).loss, 0)
  })
})
