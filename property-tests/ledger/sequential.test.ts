/** How many samples a measurement takes: the rule alone, on normal samples whose mean is known. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { meansByPrompt, rank95 } from "../../src/ledger/measure.ts"
import { clear, preciseEnough, told, toldRank } from "../../src/ledger/sequential.ts"
import { stream } from "../../src/sampling/random.ts"

/** Blocks of `first` normal samples, doubled until the rule says that it is enough. */
const measured = (
  key: string,
  of: { mean: number; sd: number; cap: number; first: number; error: number; most: number }
) => {
  const random = stream(key)
  const xs: Array<number> = []
  for (let goal = of.first;; goal = 2 * xs.length) {
    while (xs.length < goal) xs.push(of.mean + of.sd * random.normal())
    const mean = xs.reduce((sum, x) => sum + x, 0) / xs.length
    const variance = xs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (xs.length - 1)
    const one = { mean, standardError: Math.sqrt(variance / xs.length), samples: xs.length }
    if (preciseEnough({ ...one, byPrompt: () => [] }, { mnats: 1000 * of.cap }, of)) return one
  }
}

describe("sequential sampling", () => {
  it("ends with an error bar below its share of the cap, or with a clear side, or with the most that it may take", () => {
    fc.assert(
      fc.property(
        fc.record({
          mean: fc.double({ min: 0.01, max: 10, noNaN: true }),
          sd: fc.double({ min: 0.01, max: 10, noNaN: true }),
          cap: fc.double({ min: 0.1, max: 10, noNaN: true }),
          first: fc.integer({ min: 2, max: 64 }),
          error: fc.double({ min: 0.05, max: 1, noNaN: true }),
          most: fc.integer({ min: 2, max: 2048 })
        }),
        fc.string(),
        (of, key) => {
          const { mean, samples, standardError } = measured(key, of)
          const precise = standardError <= of.error * of.cap
          assert.isTrue(precise || Math.abs(mean - of.cap) >= clear * standardError || samples >= of.most)
          // And takes no more than twice what it had to.
          assert.isBelow(samples, 2 * Math.max(of.first, of.most))
        }
      )
    )
  })

  it("takes more samples close to the cap than far from it", () => {
    const of = { sd: 3, cap: 6, first: 64, error: 0.02, most: 4096 }
    const close = measured("close", { ...of, mean: 5.9 })
    const far = measured("far", { ...of, mean: 0.5 })
    assert.strictEqual(far.samples, 64)
    assert.isAtLeast(close.samples, 8 * 64)
    assert.isAtMost(close.standardError, 0.02 * 6)
  })

  it("over 4,000 measurements: bias below a fifth of the error bar, and 95 % intervals that cover 93 to 97 %", () => {
    const of = { mean: 5.5, sd: 3, cap: 6, first: 64, error: 0.03, most: 2048 }
    const all = Array.from({ length: 4000 }, (_, i) => measured(`bias ${i}`, of))
    const bias = all.reduce((sum, { mean }) => sum + mean - of.mean, 0) / all.length
    const bar = all.reduce((sum, { standardError }) => sum + standardError, 0) / all.length
    assert.isAtMost(Math.abs(bias), bar / 5)
    const covered = all.filter(({ mean, standardError }) => Math.abs(mean - of.mean) <= 1.96 * standardError).length
    assert.isAtLeast(covered / all.length, 0.93)
    assert.isAtMost(covered / all.length, 0.97)
  })
})

describe("p95 and max over prompts", () => {
  /** Normal samples of prompts with these means, `each` a prompt at first, until it is told of the `rank`-th. */
  const settled = (
    key: string,
    { cap, each, error, means, rank, sd }: {
      means: ReadonlyArray<number>
      sd: number
      cap: number
      rank: number
      each: number
      error: number
    }
  ) => {
    const random = stream(key)
    const xs: Array<number> = []
    for (let goal = each * means.length;; goal = 2 * xs.length) {
      while (xs.length < goal) xs.push(means[xs.length % means.length]! + sd * random.normal())
      const of = meansByPrompt(xs, means.length)
      if (toldRank(of, rank, cap, error)) {
        const sorted = of.map(({ mean }) => mean).sort((a, b) => a - b)
        return { within: sorted[rank - 1]! <= cap, each: xs.length / means.length }
      }
    }
  }
  const even = (count: number, at: number): ReadonlyArray<number> => Array.from({ length: count }, () => at)

  it("are told by the prompts that decide them: those that do not are not waited for", () => {
    const cap = 6
    const of = { sd: 3, cap, each: 4, error: 0.02 }
    const close = settled("max", { ...of, means: [...even(19, 0), 5.9], rank: 20 })
    assert.isAtLeast(close.each, 64)
    // The largest of 20 is no part of the 95th percentile.
    assert.isBelow(settled("p95", { ...of, means: [...even(19, 0), 5.9], rank: rank95(20) }).each, 64)
    // One clearly above is the largest, whatever the others are.
    const above = settled("above", { ...of, means: [...even(19, 5.9), 60], rank: 20 })
    assert.isTrue(!above.within && above.each < 64)
    // One is not two.
    assert.isAtLeast(settled("two", { ...of, means: [...even(19, 5.9), 60], rank: rank95(20) }).each, 64)
  })

  it("are on the side that is told, in all but a few of 1,000 measurements whose truth is 2 stated error bars away", () => {
    const wrong = { above: 0, below: 0 }
    for (let i = 0; i < 1000; i++) {
      const of = { sd: 3, cap: 6, each: 4, error: 0.1, rank: 20 }
      if (settled(`above ${i}`, { ...of, means: [...even(19, 1), 7.2] }).within) wrong.above++
      if (!settled(`below ${i}`, { ...of, means: [...even(19, 1), 4.8] }).within) wrong.below++
    }
    assert.isAtMost(wrong.above, 40)
    assert.isAtMost(wrong.below, 40)
  })

  it("take a prompt whose few samples are alike for as spread as the others are", () => {
    const [one, other] = meansByPrompt([1, 0, 1, 4, 1, 0, 1, 4], 2)
    assert.strictEqual(one!.mean, 1)
    assert.strictEqual(other!.mean, 2)
    // Squares of 16 over 8 − 2 samples, against 16 over 3 of its own.
    assert.closeTo(one!.standardError, Math.sqrt(16 / 6 / 4), 1e-12)
    assert.closeTo(other!.standardError, Math.sqrt(16 / 3 / 4), 1e-12)
    assert.isFalse(told(one!, 1.2, 0.1))
  })

  it("with a cap are asked for, and left alone without; the most ends everything", () => {
    const of = { mean: 1, standardError: 0, samples: 80, byPrompt: () => [{ mean: 3, standardError: 1 }] }
    const precision = { error: 0.1, most: 1000 }
    assert.isTrue(preciseEnough(of, { mnats: 2000 }, precision))
    assert.isFalse(preciseEnough(of, { mnats: 2000, max: 4000 }, precision))
    assert.isFalse(preciseEnough(of, { mnats: 2000, p95: 4000 }, precision))
    assert.isTrue(preciseEnough(of, { mnats: 2000, p95: 10_000, max: 10_000 }, precision))
    assert.isTrue(preciseEnough({ ...of, samples: 1000 }, { mnats: 2000, max: 4000 }, precision))
  })
})
