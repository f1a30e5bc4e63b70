import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { ratio } from "../../src/evaluation/ratio.ts"
import { ofMean } from "../../src/ledger/interval.ts"
import { estimate } from "../../src/store/report.ts"
import { stream } from "../../src/sampling/random.ts"

const numbers = fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 2, maxLength: 20 })

describe("the ratio of two sums", () => {
  it("of units of equal size is the mean and its interval", () => {
    fc.assert(fc.property(numbers, (ys) => {
      const { interval, value } = ratio(ys, ys.map(() => 2))
      const { mean, n, standardError } = estimate(ys.map((y) => y / 2))
      const expected = ofMean(mean, standardError, n)!
      assert.closeTo(value, mean, 1e-9)
      assert.closeTo(interval!.low, expected.low, 1e-9)
      assert.closeTo(interval!.high, expected.high, 1e-9)
    }))
  })

  it("has no width where each unit has the same ratio, and none can be told of a single unit", () => {
    const { interval, value } = ratio([3, 6, 9], [1, 2, 3])
    assert.deepStrictEqual([value, interval!.low, interval!.high], [3, 3, 3])
    assert.isNull(ratio([3], [1]).interval)
  })

  it("covers the ratio of the expectations in about 95 % of samples of documents of unequal length", () => {
    const random = stream("ratio")
    const trials = 2000
    let inside = 0
    for (let t = 0; t < trials; t++) {
      const xs = Array.from({ length: 60 }, () => 20 + 180 * random.next())
      // Longer documents are easier, so that the unit means are no estimate of the ratio: E y = 2E x − E x² / 200.
      const ys = xs.map((x) => x * (2 - x / 200 + 0.3 * random.normal()))
      const { high, low } = ratio(ys, xs).interval!
      const [mean, square] = [110, 110 ** 2 + 180 ** 2 / 12]
      const exact = (2 * mean - square / 200) / mean
      if (low <= exact && exact <= high) inside++
    }
    assert.closeTo(inside / trials, 0.945, 0.02)
  })
})
