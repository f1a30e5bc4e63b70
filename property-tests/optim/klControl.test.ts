import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { ppoPenaltyControl, zieglerControl } from "../../src/optim/klControl.ts"

const positive = fc.double({ min: 1e-6, max: 1e3, noNaN: true })
const kl = fc.double({ min: 0, max: 1e3, noNaN: true })
const ziegler = fc.record({
  target: positive,
  horizon: fc.integer({ min: 1, max: 20_000 }),
  episodes: fc.integer({ min: 1, max: 4096 })
})

describe("invariant 39: adaptive KL coefficients", () => {
  it("Ziegler's multiplier lies in [1 − 0.2 n/h, 1 + 0.2 n/h], β stays above 0, and the target is a fixed point", () => {
    fc.assert(fc.property(positive, kl, ziegler, (beta, kl, options) => {
      const next = zieglerControl(beta, kl, options)
      const most = 0.2 * options.episodes / options.horizon
      assert.isAbove(next, 0)
      assert.isAtMost(next / beta, 1 + most + 1e-12)
      assert.isAtLeast(next / beta, 1 - most - 1e-12)
      assert.strictEqual(zieglerControl(beta, options.target, options), beta)
    }))
  })
  it("Ziegler's multiplier far above the target, with 512 episodes and a horizon of 10,000, is 1.01024", () => {
    assert.closeTo(zieglerControl(1, 1e6, { target: 6, horizon: 10_000, episodes: 512 }), 1.01024, 1e-12)
  })
  it("more KL never makes either coefficient smaller", () => {
    fc.assert(fc.property(positive, kl, kl, ziegler, (beta, a, b, options) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)]
      assert.isAtMost(zieglerControl(beta, low, options), zieglerControl(beta, high, options))
      assert.isAtMost(ppoPenaltyControl(beta, low, options), ppoPenaltyControl(beta, high, options))
    }))
  })
  it("PPO's rule halves below target / 1.5, doubles above 1.5 target, and leaves β alone between", () => {
    fc.assert(fc.property(positive, positive, (beta, target) => {
      assert.strictEqual(ppoPenaltyControl(beta, target, { target }), beta)
      assert.strictEqual(ppoPenaltyControl(beta, target / 1.6, { target }), beta / 2)
      assert.strictEqual(ppoPenaltyControl(beta, target * 1.6, { target }), beta * 2)
    }))
  })
})
