import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { bootstrap, mcNemar, resamplesOf } from "../../src/evaluation/paired.ts"
import { ofShare, wilson } from "../../src/ledger/interval.ts"
import { stream } from "../../src/sampling/random.ts"

const binomials = (n: number): ReadonlyArray<bigint> => {
  const row = [1n]
  for (let k = 1n; k <= BigInt(n); k++) row.push(row.at(-1)! * (BigInt(n) - k + 1n) / k)
  return row
}

/** The chance that n fair coins fall at least as unevenly, in whole numbers. */
const exactly = (gained: number, lost: number): number => {
  const n = gained + lost
  const uneven = binomials(n).reduce(
    (sum, ways, k) => Math.abs(2 * k - n) >= Math.abs(gained - lost) ? sum + ways : sum,
    0n
  )
  return Number(uneven * 10n ** 15n / 2n ** BigInt(n)) / 1e15
}

describe("McNemar's exact test", () => {
  it("is the chance of fair coins, in whole numbers", () => {
    fc.assert(fc.property(fc.nat({ max: 60 }), fc.nat({ max: 60 }), fc.nat({ max: 5 }), (gained, lost, agreed) => {
      const first = [...Array<number>(gained).fill(0), ...Array<number>(lost).fill(1), ...Array<number>(agreed).fill(1)]
      const second = [
        ...Array<number>(gained).fill(1),
        ...Array<number>(lost).fill(0),
        ...Array<number>(agreed).fill(1)
      ]
      const { p, ...counts } = mcNemar(first, second)
      assert.deepStrictEqual(counts, { gained, lost })
      assert.closeTo(p, exactly(gained, lost), 1e-12)
      assert.strictEqual(mcNemar(second, first).p, p)
    }))
  })
})

describe("the bootstrap of a paired difference", () => {
  /** The share of trials in which the interval holds the mean of what the numbers are drawn from. */
  const covered = (n: number, trials: number, draw: (u: number) => number, mean: number): number => {
    const random = stream(`coverage/${n}`)
    let inside = 0
    for (let t = 0; t < trials; t++) {
      const { high, low } = bootstrap(Array.from({ length: n }, () => draw(random.next())), `trial/${t}`, 500)!
      if (low <= mean && mean <= high) inside++
    }
    return inside / trials
  }

  it("covers in about 95 % of trials, of verdicts that differ in a fifth of the prompts", () => {
    // −1 in 5 %, 1 in 15 %. Of 500 trials the share is within 0.03 of its mean in 99.9 % of seeds.
    const difference = (u: number) => u < 0.05 ? -1 : u < 0.2 ? 1 : 0
    assert.closeTo(covered(120, 500, difference, 0.1), 0.945, 0.03)
    assert.closeTo(covered(40, 500, difference, 0.1), 0.935, 0.035)
  })

  it("is the same for the same seed, holds the mean of its resamples, and takes fewer of many numbers", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 2, maxLength: 30 }), (xs) => {
        const one = bootstrap(xs, "a", 200)!
        assert.deepStrictEqual(bootstrap(xs, "a", 200), one)
        const mean = xs.reduce((sum, x) => sum + x, 0) / xs.length
        assert.isTrue(one.low <= mean + 1e-9 && mean <= one.high + 1e-9)
        // Another unit, another place: the interval moves with the numbers.
        const moved = bootstrap(xs.map((x) => 3 - 2 * x), "a", 200)!
        assert.closeTo(moved.low + moved.high, 6 - 2 * (one.low + one.high), 0.5)
      }),
      { numRuns: 50 }
    )
    assert.isNull(bootstrap([1], "a"))
    assert.strictEqual(resamplesOf(100), 10_000)
    assert.strictEqual(resamplesOf(1_000_000), 1000)
  })
})

describe("Wilson's interval", () => {
  /** The chance that the interval of `n` trials holds the share p, by all counts. */
  const coverage = (n: number, p: number, of: typeof wilson): number => {
    let inside = 0
    let chance = (1 - p) ** n
    for (let passed = 0; passed <= n; passed++) {
      const { high, low } = of(passed, n)
      if (low <= p && p <= high) inside += chance
      chance *= (n - passed) / (passed + 1) * p / (1 - p)
    }
    return inside
  }
  const shares = Array.from({ length: 199 }, (_, i) => (i + 1) / 200)

  it.each([10, 50, 100])("covers at its level on average over shares, %i trials by enumeration", (n) => {
    const mean = shares.reduce((sum, p) => sum + coverage(n, p, wilson), 0) / shares.length
    assert.closeTo(mean, 0.95, 0.005)
    assert.isAbove(Math.min(...shares.map((p) => coverage(n, p, wilson))), 0.83)
    assert.isAtLeast(Math.min(...shares.map((p) => coverage(n, p, ofShare))), 0.95 - 1e-9)
  })

  it("solves |share − p| = z √(p (1 − p) / n) at its ends, also where all or none passed", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }).chain((n) => fc.tuple(fc.nat({ max: n }), fc.constant(n))),
        ([passed, n]) => {
          const { high, low } = wilson(passed, n)
          for (const p of [low, high]) {
            if (p === 0 || p === 1) continue
            assert.closeTo(Math.abs(passed / n - p), 1.959963984540054 * Math.sqrt(p * (1 - p) / n), 1e-9)
          }
          assert.isTrue(low >= 0 && high <= 1 && low < high)
        }
      )
    )
  })
})
