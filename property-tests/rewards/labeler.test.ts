import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { demonstrations } from "../../src/data/tales/tales.ts"
import { features, labeler, preference } from "../../src/rewards/labeler.ts"
import { tales } from "../../src/data/tales/gold.ts"
import { stream } from "../../src/sampling/random.ts"

const gold = fc.double({ min: -8, max: 5, noNaN: true })
const looks = fc.record({ tokens: fc.nat(90), emotions: fc.nat(20) })

describe("a labeler", () => {
  it("is a Bradley–Terry model: the two ways to ask add up to 1, never surer than the noise allows", () => {
    fc.assert(fc.property(gold, gold, looks, looks, (a, b, fa, fb) => {
      const p = preference(a, b, fa, fb)
      assert.closeTo(p + preference(b, a, fb, fa), 1, 1e-12)
      assert.isAtLeast(p, labeler.noise / 2)
      assert.isAtMost(p, 1 - labeler.noise / 2)
    }))
  })

  it("likes gold, and length and emotion too", () => {
    const plain = { tokens: 30, emotions: 3 }
    fc.assert(
      fc.property(
        fc.double({ min: -2, max: 2, noNaN: true }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        (a, more) => {
          const p = preference(a, 0, plain, plain)
          assert.isAbove(preference(a + more, 0, plain, plain), p)
          assert.isAbove(preference(a, 0, { ...plain, tokens: 40 }, plain), p)
          assert.isAbove(preference(a, 0, { ...plain, emotions: 5 }, plain), p)
        }
      )
    )
    // By hand: one point of gold is one point / 0.5; e^(−2) = 0.135335, so σ = 0.880797, times 0.95 plus 0.025.
    assert.closeTo(preference(1, 0, plain, plain), 0.861757, 1e-6)
  })

  it("prefers A as often as the formula says", () => {
    const random = stream("labeler")
    const [a, b] = [{ tokens: 40, emotions: 4 }, { tokens: 25, emotions: 2 }]
    const p = preference(2, 2.5, a, b)
    const n = 20_000
    let times = 0
    for (let i = 0; i < n; i++) if (random.next() < preference(2, 2.5, a, b)) times++
    assert.closeTo(times / n, p, 4 * Math.sqrt(p * (1 - p) / n))
  })

  it("agrees with the gold reward on most pairs of demonstrations, and not on all", () => {
    const random = stream("agreement")
    const rows = demonstrations("agreement", 1000).map((row) => ({
      gold: tales(row.prompt, row.completion),
      features: features(row.completion)
    }))
    const pairs = rows.slice(1).map((b, i) => [rows[i]!, b] as const).filter(([a, b]) =>
      Math.abs(a.gold - b.gold) > 1e-9
    )
    const agree = pairs.filter(([a, b]) =>
      random.next() < preference(a.gold, b.gold, a.features, b.features) === a.gold > b.gold
    )
    const share = agree.length / pairs.length
    assert.isAbove(share, 0.7)
    assert.isBelow(share, 0.95)
  })

  it("counts emotional words of both moods, repeated, wherever they are", () => {
    assert.deepStrictEqual(features("happy happy sad dog . cried"), { tokens: 6, emotions: 4 })
    assert.deepStrictEqual(features(""), { tokens: 0, emotions: 0 })
  })
})
