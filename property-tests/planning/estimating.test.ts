import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { sharesAt, surveyed, varianceAt } from "../../src/planning/estimating.ts"
import { stream } from "../../src/sampling/random.ts"

const meanOf = (values: ReadonlyArray<number>): number => values.reduce((sum, x) => sum + x, 0) / values.length
const every = { least: 64, count: 4096, sum: Infinity, error: 0.004 }

/** Rows of parts that stand one after the other, each of lengths of its own. */
const parts = (seed: number): ReadonlyArray<number> => {
  const random = stream(`parts/${seed}`)
  return Array.from({ length: 2 + random.int(4) }, () => {
    const [count, middle, spread] = [200 + random.int(4000), 20 + random.int(500), random.int(20)]
    return Array.from({ length: count }, () => middle + random.int(spread + 1))
  }).flat()
}

describe("a survey", () => {
  it("of few values is their mean", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 64 }), (values) => {
      const { looked, mean, variance } = surveyed(values.length, every, values.length, (i) => values[i]!)
      assert.strictEqual(looked, values.length)
      assert.approximately(mean, meanOf(values), 1e-9)
      assert.strictEqual(variance, 0)
    }))
  })

  it("says of parts one after the other what all of them are on average, as nearly as it says", () => {
    let [within, squares] = [0, 0]
    for (let seed = 0; seed < 300; seed++) {
      const values = parts(seed)
      const { looked, mean, variance } = surveyed(values.length, every, values.length, (i) => values[i]!)
      assert.isAtMost(looked, every.count)
      const off = (mean - meanOf(values)) / Math.sqrt(variance)
      if (Math.abs(off) <= 2) within++
      squares += off ** 2
      assert.approximately(mean / meanOf(values), 1, 0.03, `${seed}`)
    }
    // Neighbours of two parts differ by more than a sample that has its share of each: the error is rather too large than too small.
    assert.isAtLeast(within, 285)
    assert.approximately(squares / 300, 0.6, 0.5)
  })

  it("by what is cheap to know looks at fewer, and says as well how far it may be off", () => {
    let [within, squares] = [0, 0]
    for (let seed = 0; seed < 300; seed++) {
      const random = stream(`cheap/${seed}`)
      const values = Array.from({ length: 5000 + random.int(10_000) }, () => 20 + random.int(500))
      // About in proportion, and by another factor in what comes first.
      const cheap = values.map((x, i) => x * (i < 800 ? 5 : 4) * (1 + 0.05 * random.normal()))
      const value = (i: number) => values[i]!
      const { looked, mean, variance } = surveyed(values.length, every, values.length, value, (i) => cheap[i]!)
      const off = (mean - meanOf(values)) / Math.sqrt(variance)
      if (Math.abs(off) <= 2) within++
      squares += off ** 2
      assert.isBelow(looked, surveyed(values.length, every, values.length, value).looked)
    }
    assert.isAtLeast(within, 279)
    assert.approximately(squares / 300, 1, 0.2)
  })

  it("is of the values alone where what is cheap is 0", () => {
    const values = parts(3)
    const of = (cheap?: (i: number) => number) =>
      surveyed(values.length, every, values.length, (i) => values[i]!, cheap)
    assert.deepStrictEqual(of(() => 0), of())
  })

  it("looks at more where its error is larger", () => {
    const like = (spread: number) => {
      const random = stream(`like/${spread}`)
      const values = Array.from({ length: 30_000 }, () => 100 + random.int(spread))
      return surveyed(values.length, every, values.length, (i) => values[i]!)
    }
    assert.isBelow(like(2).looked, like(60).looked)
    assert.isAtMost(Math.sqrt(like(60).variance) / like(60).mean, every.error)
  })

  it("of some that are drawn is as uncertain as the draw", () => {
    const draws = Array.from({ length: 400 }, (_, seed) => {
      const values = stream(`values/${seed}`).shuffle(parts(7))
      const drawn = values.slice(0, 300)
      const { mean, variance } = surveyed(values.length, every, drawn.length, (i) => values[i]!)
      return (meanOf(drawn) - mean) ** 2 / variance
    })
    assert.approximately(meanOf(draws), 1, 0.2)
  })
})

describe("a few steps", () => {
  const steps = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 6 })
  const asked = fc.integer({ min: 1, max: 10_000 })

  it("make one of the tokens that are asked about, and exactly what lies on a line", () => {
    fc.assert(fc.property(steps, asked, fc.integer({ min: -50, max: 50 }), (tokens, asked, at0) => {
      const shares = sharesAt(tokens, asked)
      const made = (values: ReadonlyArray<number>) => shares.reduce((sum, share, i) => sum + share * values[i]!, 0)
      const near = 1e-9 * asked * Math.max(...tokens)
      assert.approximately(made(tokens), asked, near)
      // A line through nothing where all have about as many; any line elsewhere.
      const own = Math.min(...tokens) >= 0.98 * Math.max(...tokens) ? 0 : at0
      assert.approximately(made(tokens.map((x) => own + 3 * x)), own + 3 * asked, 4 * near)
    }))
  })

  it("are certain of a line, and of nothing else", () => {
    const line = [100, 200, 400].map((x) => 7 + 2 * x)
    assert.approximately(varianceAt([100, 200, 400], line, { mean: 250, variance: 0 }), 0, 1e-18)
    assert.approximately(varianceAt([100, 200, 400], line, { mean: 250, variance: 9 }), 4 * 9, 1e-6)
    assert.isAbove(varianceAt([100, 200, 400], [207, 420, 807], { mean: 250, variance: 0 }), 0)
  })

  it("are as near as they say to what all are", () => {
    // Work that grows with the tokens, and differs besides by what nobody knows.
    const off = Array.from({ length: 2000 }, (_, seed) => {
      const random = stream(`work/${seed}`)
      const all = Array.from({ length: 400 }, () => {
        const tokens = 2000 + 4000 * random.next()
        return { tokens, work: 500 + 6 * tokens + 300 * random.normal() }
      })
      const some = [all[3]!, all[77]!, all[150]!, all[222]!, all[391]!]
      const tokens = some.map(({ tokens }) => tokens)
      const asked = { mean: meanOf(all.map(({ tokens }) => tokens)), variance: 0 }
      const work = some.map(({ work }) => work)
      const made = sharesAt(tokens, asked.mean).reduce((sum, share, i) => sum + share * work[i]!, 0)
      return { square: (made - meanOf(all.map(({ work }) => work))) ** 2, said: varianceAt(tokens, work, asked) }
    })
    assert.approximately(meanOf(off.map(({ square }) => square)) / meanOf(off.map(({ said }) => said)), 1, 0.1)
  })
})
