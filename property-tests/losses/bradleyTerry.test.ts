import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { bradleyTerry } from "../../src/losses/bradleyTerry.ts"
import { assertClose, f64, finiteDifferences, numbers } from "./gradients.ts"

const pairs = fc.record({
  chosen: numbers(-6, 6, 4),
  rejected: numbers(-6, 6, 4),
  margin: numbers(0, 3, 4),
  centerRewardsCoefficient: fc.constantFrom(0, 0.01, 0.5)
})

describe("Bradley–Terry", () => {
  it("by hand", () => {
    // Differences ln 3 and 0: −log σ(ln 3) = log(4/3), −log σ(0) = log 2; mean = log(8/3) / 2.
    // dL/dchosen = −(1 − σ) / 2: −(1/4) / 2 and −(1/2) / 2.
    const { gradients, loss, metrics } = bradleyTerry(f64(Math.log(3), 1), f64(0, 1))
    assert.closeTo(loss, Math.log(8 / 3) / 2, 1e-15)
    assertClose(gradients.chosen, [-1 / 8, -1 / 4], 1e-15)
    assertClose(gradients.rejected, [1 / 8, 1 / 4], 1e-15)
    assert.deepStrictEqual(metrics, {
      accuracy: 0.5,
      margin: Math.log(3) / 2,
      mean_reward: (Math.log(3) + 2) / 4,
      min_reward: 0,
      max_reward: Math.log(3)
    })
    // Centring adds 0.1 · mean((ln 3 + 0)², (1 + 1)²).
    const centred = bradleyTerry(f64(Math.log(3), 1), f64(0, 1), { centerRewardsCoefficient: 0.1 })
    assert.closeTo(centred.loss - loss, 0.05 * (Math.log(3) ** 2 + 4), 1e-15)
    // A margin of ln 3 makes up for the difference ln 3: log 2. One pair is reported, none says nothing.
    const one = bradleyTerry(f64(Math.log(3)), f64(0), { margin: f64(Math.log(3)) })
    assert.closeTo(one.loss, Math.LN2, 1e-15)
    assert.strictEqual(one.metrics["accuracy"], 1)
    assert.deepStrictEqual(bradleyTerry(f64(), f64()).metrics, {})
  })

  it("invariant 34: both gradients are the finite differences, with margin and centring", () => {
    fc.assert(fc.property(pairs, ({ chosen, rejected, ...options }) => {
      const { gradients } = bradleyTerry(chosen, rejected, options)
      assertClose(gradients.chosen, finiteDifferences((x) => bradleyTerry(x, rejected, options).loss, chosen), 1e-8)
      assertClose(gradients.rejected, finiteDifferences((x) => bradleyTerry(chosen, x, options).loss, rejected), 1e-8)
    }))
  })

  it("invariant 29: equal scores give log 2; margin 0 is no margin", () => {
    fc.assert(fc.property(pairs, ({ chosen, rejected }) => {
      assert.closeTo(bradleyTerry(chosen, chosen).loss, Math.LN2, 1e-15)
      assert.deepStrictEqual(
        bradleyTerry(chosen, rejected, { margin: new Float64Array(4) }),
        bradleyTerry(chosen, rejected)
      )
    }))
  })

  it("invariant 29: a constant added to both scores of a prompt changes nothing; centring breaks that, best at chosen + rejected = 0", () => {
    fc.assert(fc.property(pairs, fc.double({ min: 0.5, max: 5, noNaN: true }), ({ chosen, rejected }, constant) => {
      const add = (x: number): number => x + constant
      const { gradients, loss } = bradleyTerry(chosen, rejected)
      const shifted = bradleyTerry(chosen.map(add), rejected.map(add))
      assert.closeTo(shifted.loss, loss, 1e-12)
      assertClose(shifted.gradients.chosen, gradients.chosen, 1e-12)
      const middle = chosen.map((c, i) => (c + rejected[i]!) / 2)
      const centred = (offset: number): number =>
        bradleyTerry(
          chosen.map((c, i) => c - middle[i]! + offset),
          rejected.map((r, i) => r - middle[i]! + offset),
          { centerRewardsCoefficient: 0.1 }
        ).loss
      assert.isAbove(centred(constant), centred(0))
      assert.isAbove(centred(-constant), centred(0))
    }))
  })

  it("invariant 20: micro-batches with the whole batch's denominator add up", () => {
    fc.assert(fc.property(pairs, ({ chosen, rejected, ...options }) => {
      const part = (from: number, to: number) =>
        bradleyTerry(chosen.slice(from, to), rejected.slice(from, to), {
          ...options,
          margin: options.margin.slice(from, to),
          denominator: 4
        })
      assert.closeTo(part(0, 1).loss + part(1, 4).loss, bradleyTerry(chosen, rejected, options).loss, 1e-12)
    }))
  })

  it("stays finite at large differences; non-finite scores come through", () => {
    assert.strictEqual(bradleyTerry(f64(-2000), f64(2000)).loss, 4000)
    assert.strictEqual(bradleyTerry(f64(2000), f64(-2000)).loss, 0)
    assert.isNaN(bradleyTerry(f64(1, NaN), f64(0, 0)).loss)
    assert.isNaN(bradleyTerry(f64(Infinity), f64(Infinity)).loss)
    assert.strictEqual(bradleyTerry(f64(), f64()).loss, 0)
  })

  it("an infinite margin does not look like a loss of 0", () => {
    assert.isNaN(bradleyTerry(f64(1), f64(0), { margin: f64(-Infinity) }).loss)
  })

  it("an infinitely good chosen score does not look like a loss of 0", () => {
    assert.isFalse(Number.isFinite(bradleyTerry(f64(Infinity), f64(0)).loss))
    assert.isFalse(Number.isFinite(bradleyTerry(f64(0), f64(-Infinity)).loss))
  })
})
