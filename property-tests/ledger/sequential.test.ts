/** How many samples a measurement takes: the rule alone, on normal samples whose mean is known. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { clear, enough } from "../../src/ledger/sequential.ts"
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
    if (enough(one, of.cap, of)) return one
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
