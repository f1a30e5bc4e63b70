import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { scheduled } from "../../src/optim/schedule.ts"

describe("learning-rate schedules", () => {
  it("invariant 36: warm up in a straight line to the peak: 1/4, 2/4, 3/4, 1", () => {
    for (const schedule of ["constant", "linear", "cosine"] as const) {
      assert.deepStrictEqual([0, 1, 2, 3, 4].map((n) => scheduled(schedule, n, 20, 4)), [0.25, 0.5, 0.75, 1, 1])
    }
  })

  it("invariant 36: end where they should: constant at 1, linear just above 0, cosine just above 10 %", () => {
    assert.strictEqual(scheduled("constant", 99, 100, 0), 1)
    assert.closeTo(scheduled("linear", 99, 100, 0), 0.01, 1e-15)
    assert.closeTo(scheduled("linear", 50, 100, 0), 0.5, 1e-15)
    assert.closeTo(scheduled("cosine", 50, 100, 0), 0.55, 1e-15)
    assert.closeTo(scheduled("cosine", 99, 100, 0), 0.1 + 0.45 * (1 + Math.cos(0.99 * Math.PI)), 1e-15)
    assert.isAbove(scheduled("cosine", 99_999, 100_000, 0), 0.1)
    assert.closeTo(scheduled("cosine", 99_999, 100_000, 0), 0.1, 1e-8)
  })

  it("stay in (0, 1], and never rise after the warm-up", () => {
    fc.assert(fc.property(
      fc.constantFrom("constant" as const, "linear" as const, "cosine" as const),
      fc.integer({ min: 1, max: 200 }),
      fc.nat(200),
      (schedule, steps, warmup) => {
        const warm = Math.min(warmup, steps)
        const rates = Array.from({ length: steps }, (_, n) => scheduled(schedule, n, steps, warm))
        assert.isTrue(rates.every((rate) => rate > 0 && rate <= 1))
        rates.forEach((rate, n) => {
          if (n > warm) assert.isAtMost(rate, rates[n - 1]!)
          else if (n > 0 && n < warm) assert.isAbove(rate, rates[n - 1]!)
        })
      }
    ))
  })
})
