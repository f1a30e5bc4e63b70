import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { distinct } from "../../src/ledger/distinct.ts"
import { after, declineOf, type Peak } from "../../src/ledger/peak.ts"
import { stream } from "../../src/sampling/random.ts"

/** The defaults of `dsl/Observe.ts`. */
const rule = { patience: 2, z: 3 }

/** Runs the rule over measurements; the step at which it says that the peak is passed, and the one it goes back to. */
const over = (means: ReadonlyArray<number>, samples: number, key: string) => {
  const random = stream(key)
  const prompts = Array.from({ length: samples }, () => 3 * random.normal())
  let peak: Peak | null = null
  for (const [step, mean] of means.entries()) {
    const seen = after(peak, step, prompts.map((of) => of + mean + random.normal()), rule)
    peak = seen.peak
    if (seen.passed) return { at: step, best: peak.best.step }
  }
  return null
}

describe("the peak of gold", () => {
  it("a new best is kept, and sets the count of declines back", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 4, maxLength: 4 }), { minLength: 1 }),
        (all) => {
          let peak: Peak | null = null
          const mean = (xs: ReadonlyArray<number>) => xs.reduce((sum, x) => sum + x, 0) / xs.length
          for (const [step, gold] of all.entries()) {
            const seen = after(peak, step, gold, rule)
            const most = Math.max(...all.slice(0, step + 1).map(mean))
            assert.strictEqual(mean(seen.peak.best.gold), most)
            if (seen.decline === null) assert.deepStrictEqual(seen.peak, { best: { step, gold }, declines: 0 })
            peak = seen.peak
          }
        }
      )
    )
  })

  it("compares prompt by prompt: what prompts have in common cancels", () => {
    const best = [0, 10, 20, 30]
    const { mean, standardError } = declineOf(best, best.map((x) => x - 1))
    assert.deepStrictEqual([mean, standardError], [1, 0])
  })

  it("is found in 300 of 300 runs that rise and fall by more than the noise, and goes back to near it", () => {
    const means = Array.from({ length: 30 }, (_, i) => 2 - 0.02 * (i - 10) ** 2)
    for (let i = 0; i < 300; i++) {
      const found = over(means, 256, `falls ${i}`)
      assert.isNotNull(found)
      assert.isAtMost(2 - means[found!.best]!, 0.2)
    }
  })

  it("of 500 runs with 30 measurements at most 4 % are stopped where gold stays level, and at most 2 % where it rises a little", () => {
    const stopped = (slope: number): number =>
      Array.from({ length: 500 }, (_, i) => over(Array.from({ length: 30 }, (_, t) => slope * t), 256, `level ${i}`))
        .filter((found) => found !== null).length / 500
    assert.isAtMost(stopped(0), 0.04)
    assert.isAtMost(stopped(0.005), 0.02)
  })
})

describe("distinct-n", () => {
  it("by hand", () => {
    assert.strictEqual(distinct([Int32Array.of(1, 2, 1), Int32Array.of(1, 2)], 1), 2 / 5)
    assert.strictEqual(distinct([Int32Array.of(1, 2, 1), Int32Array.of(1, 2)], 2), 2 / 3)
    assert.isNaN(distinct([Int32Array.of(1)], 2))
  })

  it("is 1 where nothing is said twice, and falls when everything is said again", () => {
    fc.assert(fc.property(fc.uniqueArray(fc.nat(), { minLength: 2 }), (ids) => {
      const said = Int32Array.from(ids)
      assert.strictEqual(distinct([said], 1), 1)
      assert.strictEqual(distinct([said, said], 1), 1 / 2)
      assert.strictEqual(distinct([said, said], 2), 1 / 2)
    }))
  })
})
