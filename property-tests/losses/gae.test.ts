import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { byLength, gae } from "../../src/losses/gae.ts"
import { assertClose, f64, i32, numbers, rowOffsets } from "./gradients.ts"

const unit = fc.double({ min: 0, max: 1, noNaN: true })
const episodes = rowOffsets.chain((offsets) => {
  const n = offsets[offsets.length - 1]!
  return fc.record({
    offsets: fc.constant(offsets),
    rewards: numbers(-2, 2, n),
    values: numbers(-2, 2, n),
    gamma: unit,
    lambda: unit
  })
})

/** [row, t] of each token, in order. */
const places = (offsets: Int32Array): Array<readonly [number, number]> =>
  Array.from(offsets.subarray(1)).flatMap((end, row) =>
    Array.from({ length: end - offsets[row]! }, (_, t) => [row, offsets[row]! + t] as const)
  )

describe("generalised advantage estimation", () => {
  it("by hand", () => {
    // γ = 1/2, λ = 1/2. Row 1: rewards 1, 2; values 4, 2. δ₂ = 2 − 2 = 0; δ₁ = 1 + 1 − 4 = −2; A = (−2, 0), returns (2, 2).
    // Row 2: rewards 0, 4; values 1, 0. δ₂ = 4; δ₁ = 0 + 0 − 1 = −1; A = (−1 + 4/4, 4) = (0, 4), returns (1, 4).
    const { advantages, returns } = gae(f64(1, 2, 0, 4), f64(4, 2, 1, 0), i32(0, 2, 4), { gamma: 0.5, lambda: 0.5 })
    assert.deepStrictEqual(advantages, f64(-2, 0, 0, 4))
    assert.deepStrictEqual(returns, f64(2, 2, 1, 4))
  })

  it("the recursion is the sum of discounted TD errors (Schulman 2016 eq. 16)", () => {
    fc.assert(fc.property(episodes, ({ gamma, lambda, offsets, rewards, values }) => {
      const expected = places(offsets).map(([row, t]) => {
        const end = offsets[row + 1]!
        let sum = 0
        for (let s = t; s < end; s++) {
          const next = s + 1 < end ? values[s + 1]! : 0
          sum += (gamma * lambda) ** (s - t) * (rewards[s]! + gamma * next - values[s]!)
        }
        return sum
      })
      const { advantages, returns } = gae(rewards, values, offsets, { gamma, lambda })
      assertClose(advantages, expected, 1e-12)
      assertClose(returns, expected.map((a, t) => a + values[t]!), 1e-12)
    }))
  })

  it("λ by length, of each row its own", () => {
    // α 1/2: of lengths 1, 2, 4 and 10 λ is 0 (not −1), 0, 1/2 and 4/5.
    assertClose(byLength(i32(0, 1, 3, 7, 17), 0.5), [0, 0, 0.5, 0.8], 1e-15)
    fc.assert(fc.property(episodes, fc.double({ min: 0.05, max: 2, noNaN: true }), (of, alpha) => {
      const { gamma, offsets, rewards, values } = of
      const lambda = byLength(offsets, alpha)
      const apart = [...lambda].flatMap((own, row) => {
        const [from, to] = [offsets[row]!, offsets[row + 1]!]
        const only = { gamma, lambda: own }
        return [...gae(rewards.slice(from, to), values.slice(from, to), i32(0, to - from), only).advantages]
      })
      assertClose(gae(rewards, values, offsets, { gamma, lambda }).advantages, apart, 1e-12)
      // The weights of TD errors without discount add up to α l, up to those after the end.
      for (const [row, own] of lambda.entries()) {
        const length = offsets[row + 1]! - offsets[row]!
        if (alpha * length >= 1) assertClose([1 / (1 - own)], [alpha * length], 1e-9)
      }
    }))
  })

  it("invariant 16: λ = 1: discounted return-to-go minus the value", () => {
    fc.assert(fc.property(episodes, ({ gamma, offsets, rewards, values }) => {
      const expected = places(offsets).map(([row, t]) =>
        rewards.slice(t, offsets[row + 1]!).reduce((sum, r, i) => sum + gamma ** i * r, 0)
      )
      assertClose(gae(rewards, values, offsets, { gamma, lambda: 1 }).returns, expected, 1e-12)
    }))
  })

  it("invariant 16: λ = 0: the TD error", () => {
    fc.assert(fc.property(episodes, ({ gamma, offsets, rewards, values }) => {
      const expected = places(offsets).map(([row, t]) =>
        rewards[t]! + (t + 1 < offsets[row + 1]! ? gamma * values[t + 1]! : 0) - values[t]!
      )
      assertClose(gae(rewards, values, offsets, { gamma, lambda: 0 }).advantages, expected, 1e-12)
    }))
  })

  it("invariant 16: zero rewards and values give 0; linear in rewards and values together", () => {
    fc.assert(fc.property(episodes, numbers(-3, 3, 1), ({ offsets, rewards, values, ...options }, scale) => {
      const zero = new Float64Array(rewards.length)
      assertClose(gae(zero, zero, offsets, options).advantages, zero, 0)
      const times = (x: number): number => scale[0]! * x
      const scaled = gae(rewards.map(times), values.map(times), offsets, options).advantages
      assertClose(scaled, gae(rewards, values, offsets, options).advantages.map(times), 1e-12)
    }))
  })

  it("invariant 16: rows do not see each other: each alone gives the same", () => {
    fc.assert(fc.property(episodes, ({ offsets, rewards, values, ...options }) => {
      const together = gae(rewards, values, offsets, options).advantages
      const alone = Array.from(offsets.subarray(1)).flatMap((end, row) => {
        const [r, v] = [rewards.slice(offsets[row], end), values.slice(offsets[row], end)]
        return Array.from(gae(r, v, i32(0, r.length), options).advantages)
      })
      assertClose(together, alone, 0)
    }))
  })

  it("NaN comes through to the tokens before it", () => {
    const { advantages } = gae(f64(0, NaN, 1), f64(0, 0, 0), i32(0, 2, 3), { gamma: 1, lambda: 0.95 })
    assert.isNaN(advantages[0])
    assert.strictEqual(advantages[2], 1)
  })
})
