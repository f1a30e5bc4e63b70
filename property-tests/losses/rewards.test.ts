import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { sumRows } from "../../src/losses/ragged.ts"
import { tokenRewards } from "../../src/losses/rewards.ts"
import { assertClose, f64, i32, numbers, rowOffsets } from "./gradients.ts"

const samples = rowOffsets.chain((offsets) => {
  const n = offsets[offsets.length - 1]!
  return fc.record({
    offsets: fc.constant(offsets),
    logps: numbers(-3, 0, n),
    refLogps: numbers(-3, 0, n),
    scores: numbers(-2, 2, offsets.length - 1),
    beta: fc.double({ min: 0, max: 1, noNaN: true })
  })
})

describe("rewards with the KL penalty", () => {
  it("by hand", () => {
    // β = 0.1. Row 1: d = 1, −2, score 5: rewards −0.1, 0.2 + 5. Row 2: d = 3, score 1: 1 − 0.3.
    const { metrics, rewards } = tokenRewards(f64(-1, -3, 0), f64(-2, -1, -3), f64(5, 1), i32(0, 2, 3), { beta: 0.1 })
    assertClose(rewards, [-0.1, 5.2, 0.7], 1e-15)
    // KL per row −1 and 3: mean 1; scores' mean 3.
    const names = ["objective/kl", "objective/scores", "objective/non_score_reward", "objective/rlhf_reward"]
    assertClose(names.map((name) => metrics[name]!), [1, 3, -0.1, 2.9], 1e-15)
  })

  it("of no rows there are no rewards, and every mean is 0", () => {
    const { metrics, rewards } = tokenRewards(f64(), f64(), f64(), i32(0), { beta: 0.1 })
    assert.lengthOf(rewards, 0)
    assertClose(Object.values(metrics), [0, 0, 0, 0], 0)
  })

  it("a row's rewards add up to score − β log(π / ref)", () => {
    fc.assert(fc.property(samples, ({ beta, logps, offsets, refLogps, scores }) => {
      const { metrics, rewards } = tokenRewards(logps, refLogps, scores, offsets, { beta })
      const ratios = sumRows(logps.map((logp, t) => logp - refLogps[t]!), offsets)
      assertClose(sumRows(rewards, offsets), scores.map((score, row) => score - beta * ratios[row]!), 1e-12)
      assert.closeTo(
        metrics["objective/rlhf_reward"]!,
        sumRows(rewards, offsets).reduce((sum, x) => sum + x, 0) / scores.length,
        1e-12
      )
    }))
  })

  it("invariant 23: β = 0 needs no reference; β ≠ 0 without one throws", () => {
    fc.assert(fc.property(samples, ({ logps, offsets, refLogps, scores }) => {
      const without = tokenRewards(logps, null, scores, offsets, { beta: 0 })
      assertClose(without.rewards, tokenRewards(logps, refLogps, scores, offsets, { beta: 0 }).rewards, 0)
      assert.notProperty(without.metrics, "objective/kl")
    }))
    assert.throws(() => tokenRewards(f64(-1), null, f64(1), i32(0, 1), { beta: 0.1 }), "reference")
  })

  it("a row without tokens, or scores that are not one a row, throw", () => {
    assert.throws(() => tokenRewards(f64(-1), f64(-1), f64(1, 2), i32(0, 0, 1), { beta: 0 }), "row 0 has no tokens")
    assert.throws(() => tokenRewards(f64(-1), f64(-1), f64(1, 2), i32(0, 1), { beta: 0 }), "2 scores for 1 rows")
  })

  it("non-finite log-probabilities and scores come through, at β = 0 too", () => {
    for (const x of [NaN, Infinity, -Infinity]) {
      const finite = (rewards: Float64Array): boolean => rewards.every(Number.isFinite)
      assert.isFalse(finite(tokenRewards(f64(x), f64(-1), f64(1), i32(0, 1), { beta: 0 }).rewards))
      assert.isFalse(finite(tokenRewards(f64(-1), f64(x), f64(1), i32(0, 1), { beta: 0.1 }).rewards))
      assert.isFalse(finite(tokenRewards(f64(-1), f64(-1), f64(x), i32(0, 1), { beta: 0.1 }).rewards))
    }
  })
})
