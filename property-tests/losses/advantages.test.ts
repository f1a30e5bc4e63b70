import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { groupAdvantages, informative, tokenAdvantages } from "../../src/losses/advantages.ts"
import { overlongPenalty } from "../../src/losses/overlong.ts"
import { assertClose, f64, i32, numbers, total } from "./gradients.ts"

const G = 4
const rewards = numbers(-3, 3, 2 * G)
const std = (ddof: 0 | 1, epsilon = 0) => ({ _tag: "GroupStd", ddof, epsilon }) as const
const mean = { _tag: "GroupMean" } as const
const others = { _tag: "LeaveOneOut" } as const
const max = { _tag: "MaxNormalised" } as const
const every = [mean, others, std(0), std(1), max, { _tag: "MonteCarlo" }] as const
const groups = (xs: Float64Array): ReadonlyArray<Float64Array> => [xs.slice(0, G), xs.slice(G)]
const spread = (xs: Float64Array): boolean => groups(xs).every((g) => Math.max(...g) - Math.min(...g) > 1e-3)

describe("group advantages", () => {
  it("by hand: rewards of 0 and 1, one success in eight", () => {
    const one = f64(1, 0, 0, 0, 0, 0, 0, 0)
    assertClose(groupAdvantages(std(0), one, 8).subarray(0, 2), [Math.sqrt(7), -1 / Math.sqrt(7)], 1e-12)
    assertClose(groupAdvantages(std(1), one, 8).subarray(0, 2), [2.4748737, -0.3535534], 1e-7)
    assertClose(groupAdvantages(max, one, 8).subarray(0, 2), [7, -1], 1e-12)
    assertClose(groupAdvantages(others, one, 8).subarray(0, 2), [1, -1 / 7], 1e-12)
  })

  it("invariant 13: GRPO advantages sum to 0, their squares to G (ddof 0) or G − 1 (ddof 1)", () => {
    fc.assert(fc.property(rewards, (all) => {
      fc.pre(spread(all))
      for (const ddof of [0, 1] as const) {
        for (const group of groups(groupAdvantages(std(ddof), all, G))) {
          assert.closeTo(total(group), 0, 1e-9)
          assert.closeTo(total(group.map((a) => a * a)), G - ddof, 1e-9)
        }
      }
    }))
  })

  it("invariant 13: a group of equal rewards has advantage 0 with every baseline, whatever their rounding", () => {
    fc.assert(fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (r) => {
      for (const advantage of every) {
        if (advantage._tag === "MonteCarlo") continue
        assert.isTrue(groupAdvantages(advantage, f64(r, r, r), 3).every((a) => a === 0), advantage._tag)
      }
      assert.deepStrictEqual(informative(f64(r, r, r, r, r, r + 1), 3), [false, true])
    }))
    assert.deepStrictEqual(groupAdvantages(max, f64(0, 0), 2), f64(0, 0))
    assert.deepStrictEqual(groupAdvantages(max, f64(-1, 1), 2), f64(0, 0))
  })

  it("invariant 13: shift- and scale-invariant with ε = 0; permuting a group permutes its advantages", () => {
    fc.assert(
      fc.property(
        rewards,
        fc.double({ min: -5, max: 5, noNaN: true }),
        fc.double({ min: 0.1, max: 9, noNaN: true }),
        (all, c, k) => {
          fc.pre(spread(all))
          const plain = groupAdvantages(std(1), all, G)
          assertClose(groupAdvantages(std(1), all.map((r) => k * r + c), G), plain, 1e-9)
          for (const advantage of every) {
            // Divided by their mean, rewards that add to nearly 0 are all rounding.
            const group = all.slice(0, G).map((r) => r + (advantage._tag === "MaxNormalised" ? 4 : 0))
            const turned = groupAdvantages(advantage, group.slice().reverse(), G)
            assertClose(turned, groupAdvantages(advantage, group, G).reverse(), 1e-9)
          }
        }
      )
    )
  })

  it("invariant 14: Dr. GRPO sums to 0, ignores shifts, scales with rewards; RLOO is G/(G − 1) of it", () => {
    fc.assert(fc.property(rewards, fc.double({ min: -5, max: 5, noNaN: true }), (all, c) => {
      const plain = groupAdvantages(mean, all, G)
      for (const group of groups(plain)) assert.closeTo(total(group), 0, 1e-12)
      assertClose(groupAdvantages(mean, all.map((r) => r + c), G), plain, 1e-12)
      assertClose(groupAdvantages(mean, all.map((r) => c * r), G), plain.map((a) => c * a), 1e-12)
      const loo = groupAdvantages(others, all, G)
      assertClose(loo, plain.map((a) => a * G / (G - 1)), 1e-12)
      const first = all.slice(0, G)
      const left = first.map((r) => r - (total(first) - r) / (G - 1))
      assertClose(loo.subarray(0, G), left, 1e-12)
    }))
  })

  it("a completion's tokens share its advantage, with k1 of all of them in its reward; MonteCarlo goes by token", () => {
    const batch = { scores: f64(1, 3), logps: f64(-1, -1, -2), refLogps: f64(-2, -1, -2.5), offsets: i32(0, 2, 3) }
    const options = { beta: 0.5, groupSize: 2 }
    // Rewards 1 − 0.5·1 and 3 − 0.5·0.5: mean 1.625.
    assertClose(tokenAdvantages(mean, batch, options).advantages, [-1.125, -1.125, 1.125], 1e-12)
    assertClose(tokenAdvantages({ _tag: "MonteCarlo" }, batch, options).advantages, [0.5, 1, 2.75], 1e-12)
    assertClose(tokenAdvantages(mean, { ...batch, refLogps: null }, options).advantages, [-1, -1, 1], 1e-12)
    assert.throws(() => groupAdvantages(mean, f64(1, 2, 3), 2), "do not divide")
  })

  it("non-finite rewards come through", () => {
    for (const advantage of every) {
      for (const r of [NaN, Infinity]) {
        assert.isFalse(groupAdvantages(advantage, f64(r, r), 2).every(Number.isFinite), `${advantage._tag} ${r}`)
      }
    }
  })
})

describe("overlong penalty", () => {
  it("invariant 21: in [−1, 0], continuous, never rising with the length; 0 up to the soft limit, −1 at the hard one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 500 }), fc.double({ min: 0.01, max: 1, noNaN: true }), (most, share) => {
        let before = 0
        for (let length = 0; length <= most + 2; length++) {
          const penalty = overlongPenalty(length, most, share)
          assert.isTrue(penalty <= before + 1e-12 && penalty >= -1 - 1e-12)
          assert.isAtMost(before - penalty, 1 / (share * most) + 1e-9)
          if (length <= (1 - share) * most) assert.strictEqual(penalty, 0)
          before = penalty
        }
        assert.closeTo(overlongPenalty(most, most, share), -1, 1e-12)
      })
    )
    assert.closeTo(overlongPenalty(18, 20, 0.2), -0.5, 1e-12)
  })
})
