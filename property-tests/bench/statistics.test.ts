import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { mapSpread, median, ratio, spread } from "../../src/bench/statistics.ts"

const times = fc.array(fc.double({ min: 1e-6, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 9 })

describe("the median", () => {
  it("is the middle, or between the two middle ones, and nothing of nothing", () => {
    assert.deepStrictEqual([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])], [2, 2.5, 7])
    assert.isNaN(median([]))
  })
  it("has at most half of the sample on either side and does not change it", () => {
    fc.assert(fc.property(times, (sample) => {
      const before = [...sample]
      const m = median(sample)
      assert.deepStrictEqual(sample, before)
      assert.isAtMost(sample.filter((x) => x < m).length, sample.length / 2)
      assert.isAtMost(sample.filter((x) => x > m).length, sample.length / 2)
    }))
  })
  it("is not moved by one outlier in five, which shows in the range", () => {
    assert.deepStrictEqual(spread([1, 1, 1, 1, 100]), { median: 1, min: 1, max: 100 })
  })
})

describe("a rate from a time", () => {
  it("turns the range round", () => {
    assert.deepStrictEqual(mapSpread(spread([1, 2, 4]), (s) => 8 / s), { median: 4, min: 2, max: 8 })
  })
})

describe("the ratio to a peer", () => {
  it("is above 1 when the peer takes longer", () => {
    assert.deepStrictEqual(ratio([4, 6, 9], [2, 2, 2]), { median: 3, min: 2, max: 4.5 })
  })
  it("does not see what slows down both of a round", () => {
    fc.assert(fc.property(times, fc.double({ min: 0.1, max: 10, noNaN: true }), (slowdowns, speed) => {
      const of = ratio(slowdowns.map((s) => s * speed), slowdowns)
      for (const x of [of.median, of.min, of.max]) assert.closeTo(x / speed, 1, 1e-12)
    }))
  })
  it("is taken within rounds, not of medians", () => {
    // Medians 10 and 10 would say 1; round by round the peer takes twice as long twice of three times.
    assert.strictEqual(ratio([2, 10, 20], [1, 20, 10]).median, 2)
  })
  it("leaves out a round that one of them did not finish", () => {
    assert.deepStrictEqual(ratio([4, 6], [2]), { median: 2, min: 2, max: 2 })
  })
})
