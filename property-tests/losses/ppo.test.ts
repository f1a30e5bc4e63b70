import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { ppo } from "../../src/losses/ppo.ts"
import { assertClose, f64, finiteDifferences, masks, numbers, total } from "./gradients.ts"

const length = 5
const clipRange = 0.2
const tokens = fc.record({
  logps: numbers(-4, 0, length),
  oldLogps: numbers(-4, 0, length),
  advantages: numbers(-3, 3, length),
  mask: masks(length)
})
/** Finite differences do not hold at the two kinks. */
const awayFromKinks = (logps: Float64Array, oldLogps: Float64Array): boolean =>
  logps.every((logp, t) => {
    const ratio = Math.exp(logp - oldLogps[t]!)
    return Math.abs(ratio - 0.8) > 1e-3 && Math.abs(ratio - 1.2) > 1e-3
  })

describe("PPO", () => {
  it("by hand", () => {
    // Ratios 3/2, 1/2, 1 with advantages 1, 2, −1 and ε = 0.2. Token 1 is clipped: −1.2. Token 2 is below the range, but its
    // advantage is positive: −min(1, 1.6) = −1. Token 3: 1. Loss (−1.2 − 1 + 1) / 3 = −0.4, gradient (0, −1, 1) / 3.
    const old = f64(-2, -1, -3)
    const logps = f64(-2 + Math.log(1.5), -1 + Math.log(0.5), -3)
    const { gradient, loss, metrics } = ppo(logps, old, f64(1, 2, -1), { clipRange })
    assert.closeTo(loss, -0.4, 1e-15)
    assertClose(gradient, [0, -1 / 3, 1 / 3], 1e-15)
    assert.closeTo(metrics["loss/policy_avg"]!, -0.4, 1e-15)
    assert.closeTo(metrics["policy/clipfrac_avg"]!, 1 / 3, 1e-15)
    assert.closeTo(metrics["policy/approxkl_avg"]!, (Math.log(1.5) ** 2 + Math.LN2 ** 2) / 6, 1e-15)
    assert.closeTo(metrics["val/ratio"]!, 1, 1e-15)
    // Mean of (1/4, 1/4, 0).
    assert.closeTo(metrics["val/ratio_var"]!, 1 / 6, 1e-15)
  })

  it("invariant 34: the gradient is the finite difference", () => {
    fc.assert(fc.property(tokens, ({ advantages, logps, mask, oldLogps }) => {
      fc.pre(awayFromKinks(logps, oldLogps))
      const options = { clipRange, mask }
      const { gradient } = ppo(logps, oldLogps, advantages, options)
      assertClose(gradient, finiteDifferences((x) => ppo(x, oldLogps, advantages, options).loss, logps), 1e-7)
    }))
  })

  it("invariant 17: PPO at ratio 1: the loss is −mean A and the gradient REINFORCE's, −A / N", () => {
    fc.assert(fc.property(tokens, ({ advantages, logps }) => {
      const { gradient, loss } = ppo(logps, logps, advantages, { clipRange })
      assert.closeTo(loss, -total(advantages) / length, 1e-12)
      assertClose(gradient, advantages.map((a) => -a / length), 1e-15)
    }))
  })

  it("invariant 17: the gradient is 0 where the step has gone far enough, and only there", () => {
    const positive = fc.double({ min: 0.01, max: 3, noNaN: true })
    const far = fc.double({ min: 0.25, max: 3, noNaN: true })
    fc.assert(fc.property(positive, far, (advantage, beyond) => {
      const gradient = (logRatio: number, a: number): number =>
        ppo(f64(-1 + logRatio), f64(-1), f64(a), { clipRange }).gradient[0]!
      assert.closeTo(gradient(beyond, advantage), 0, 0)
      assert.closeTo(gradient(-beyond, -advantage), 0, 0)
      assert.isBelow(gradient(-beyond, advantage), 0)
      assert.isAbove(gradient(beyond, -advantage), 0)
    }))
  })

  it("invariant 17: never below the unclipped loss; an infinite range is unclipped; equal asymmetric ranges are the symmetric one", () => {
    fc.assert(fc.property(tokens, ({ advantages, logps, oldLogps }) => {
      const unclipped = -total(advantages.map((a, t) => a * Math.exp(logps[t]! - oldLogps[t]!))) / length
      const { loss } = ppo(logps, oldLogps, advantages, { clipRange })
      assert.isAtLeast(loss, unclipped - 1e-12)
      assert.closeTo(ppo(logps, oldLogps, advantages, { clipRange: Infinity }).loss, unclipped, 1e-12)
      assert.strictEqual(ppo(logps, oldLogps, advantages, { clipRange, clipRangeHigh: clipRange }).loss, loss)
    }))
    // Ratio 1.25 is outside 0.2 and inside clip-higher 0.28.
    const high = ppo(f64(Math.log(1.25)), f64(0), f64(1), { clipRange, clipRangeHigh: 0.28 })
    assert.closeTo(high.gradient[0]!, -1.25, 1e-15)
  })

  it("invariants 19, 20: micro-batches with the whole batch's denominator add up, metrics too", () => {
    fc.assert(fc.property(tokens, fc.integer({ min: 0, max: length }), ({ advantages, logps, mask, oldLogps }, cut) => {
      const denominator = mask.reduce((sum, m) => sum + m, 0)
      const part = (from: number, to: number) =>
        ppo(logps.slice(from, to), oldLogps.slice(from, to), advantages.slice(from, to), {
          clipRange,
          mask: mask.slice(from, to),
          denominator
        })
      const [whole, first, second] = [
        ppo(logps, oldLogps, advantages, { clipRange, mask }),
        part(0, cut),
        part(cut, length)
      ]
      assert.closeTo(first.loss + second.loss, whole.loss, 1e-12)
      for (const name of ["loss/policy_avg", "policy/clipfrac_avg", "policy/approxkl_avg", "val/ratio"]) {
        assertClose([first.metrics[name]! + second.metrics[name]!], [whole.metrics[name]!], 1e-12)
      }
    }))
  })

  it("invariant 33: masked tokens do not count; all masked is 0", () => {
    const { loss } = ppo(f64(NaN, -1), f64(-1, -1), f64(1, 2), { clipRange, mask: [0, 1] })
    assert.strictEqual(loss, -2)
    const nothing = ppo(f64(-1), f64(-1), f64(1), { clipRange, mask: [0] })
    assert.strictEqual(nothing.loss, 0)
    assert.strictEqual(nothing.metrics["val/ratio_var"], 0)
  })

  it("clipping hides no non-finite log-probability or advantage", () => {
    const bad = [NaN, Infinity, -Infinity]
    for (const x of bad) {
      for (const a of [1, -1]) {
        assert.isNaN(ppo(f64(x), f64(-1), f64(a), { clipRange }).loss, `logp ${x}, A ${a}`)
        assert.isNaN(ppo(f64(-1), f64(x), f64(a), { clipRange }).loss, `old ${x}, A ${a}`)
      }
      assert.isFalse(Number.isFinite(ppo(f64(-1), f64(-1), f64(x), { clipRange }).loss))
    }
  })
})
