import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { bradleyTerry } from "../../src/losses/bradleyTerry.ts"
import { kWise, plackettLuce } from "../../src/losses/ranking.ts"
import { assertClose, f64, finiteDifferences, i32, numbers } from "./gradients.ts"

/** Two prompts, of 3 and of 4 completions. */
const groups = i32(0, 3, 7)
const scores = numbers(-5, 5, 7)
const ranks = [1, 2, 3, 1, 2, 2, 4]

describe("K-wise loss", () => {
  it("by hand: three scores ln 4, ln 2, 0", () => {
    // Pairs ln 2, ln 4, ln 2: log(3/2), log(5/4), log(3/2), the mean.
    const { loss, metrics } = kWise(f64(Math.log(4), Math.log(2), 0), [1, 2, 3], i32(0, 3))
    assert.closeTo(loss, (2 * Math.log(1.5) + Math.log(1.25)) / 3, 1e-15)
    assert.strictEqual(metrics["accuracy"], 1)
  })

  it("invariant 34: its gradient is the finite differences, with ties and centring", () => {
    fc.assert(fc.property(scores, fc.constantFrom(0, 0.1), (x, centerRewardsCoefficient) => {
      const of = (r: Float64Array) => kWise(r, ranks, groups, { centerRewardsCoefficient })
      assertClose(of(x).gradient, finiteDifferences((r) => of(r).loss, x), 1e-7)
    }))
  })

  it("invariant 29: with K = 2 it is Bradley–Terry, and so is Plackett–Luce", () => {
    fc.assert(fc.property(numbers(-6, 6, 6), (x) => {
      const pair = i32(0, 2, 4, 6)
      const [chosen, rejected] = [f64(x[0]!, x[2]!, x[4]!), f64(x[1]!, x[3]!, x[5]!)]
      const { gradients, loss } = bradleyTerry(chosen, rejected)
      for (const one of [kWise(x, [1, 2, 1, 2, 1, 2], pair), plackettLuce(x, pair)]) {
        assert.closeTo(one.loss, loss, 1e-12)
        assertClose(one.gradient.filter((_, i) => i % 2 === 0), gradients.chosen, 1e-12)
        assertClose(one.gradient.filter((_, i) => i % 2 === 1), gradients.rejected, 1e-12)
      }
    }))
  })

  it("each prompt counts the same, however many completions it has; a prompt of ties alone teaches nothing", () => {
    const two = kWise(f64(1, 0, 3, 2, 1, 0), [1, 2, 1, 2, 3, 4], i32(0, 2, 6)).loss
    const apart = kWise(f64(1, 0), [1, 2], i32(0, 2)).loss + kWise(f64(3, 2, 1, 0), [1, 2, 3, 4], i32(0, 4)).loss
    assert.closeTo(two, apart / 2, 1e-15)
    assert.deepStrictEqual(kWise(f64(1, 2), [1, 1], i32(0, 2)), { loss: 0, gradient: f64(0, 0), metrics: {} })
  })
})

describe("Plackett–Luce loss", () => {
  it("by hand: scores ln 3, ln 2, 0", () => {
    // P = 3/6 · 2/3 · 1 = 1/3.
    assert.closeTo(plackettLuce(f64(Math.log(3), Math.log(2), 0), i32(0, 3)).loss, Math.log(3), 1e-15)
  })

  it("is the likelihood of a ranking: over all rankings of three it adds to 1", () => {
    fc.assert(fc.property(numbers(-4, 4, 3), (r) => {
      const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
      const sum = orders.reduce(
        (total, order) => total + Math.exp(-plackettLuce(Float64Array.from(order, (i) => r[i]!), i32(0, 3)).loss),
        0
      )
      assert.closeTo(sum, 1, 1e-12)
    }))
  })

  it("invariant 34: its gradient is the finite differences", () => {
    fc.assert(fc.property(scores, (x) => {
      assertClose(plackettLuce(x, groups).gradient, finiteDifferences((r) => plackettLuce(r, groups).loss, x), 1e-7)
    }))
  })

  it("invariant 29: a constant added to all scores of a prompt changes neither it nor K-wise; centring breaks that", () => {
    fc.assert(fc.property(scores, fc.double({ min: 0.5, max: 3, noNaN: true }), (x, constant) => {
      const shifted = x.map((r, i) => i < 3 ? r + constant : r)
      assert.closeTo(plackettLuce(shifted, groups).loss, plackettLuce(x, groups).loss, 1e-12)
      assert.closeTo(kWise(shifted, ranks, groups).loss, kWise(x, ranks, groups).loss, 1e-12)
      const centred = (offset: number) =>
        kWise(f64(1 + offset, -1 + offset), [1, 2], i32(0, 2), { centerRewardsCoefficient: 0.1 }).loss
      assert.isAbove(centred(constant), centred(0))
    }))
  })

  it("its accuracy is the share of prompts whose best completion has the highest score, alone", () => {
    const accuracy = (...scores: ReadonlyArray<number>) => plackettLuce(f64(...scores), groups).metrics["accuracy"]
    assert.strictEqual(accuracy(3, 1, 2, 4, 1, 2, 3), 1)
    assert.strictEqual(accuracy(3, 1, 2, 2, 1, 4, 3), 1 / 2)
    assert.strictEqual(accuracy(1, 3, 2, 2, 1, 0, 3), 0)
    assert.strictEqual(accuracy(3, 1, 3, 4, 1, 2, 3), 1 / 2)
    assert.deepStrictEqual(plackettLuce(f64(), i32(0)).metrics, {})
  })

  it("stays finite at large scores, and lets what is not finite through", () => {
    assert.strictEqual(plackettLuce(f64(-2000, 2000, 0), i32(0, 3)).loss, 4000)
    assert.isNaN(plackettLuce(f64(1, NaN), i32(0, 2)).loss)
    assert.isNaN(plackettLuce(f64(Infinity, 0), i32(0, 2)).loss)
    assert.strictEqual(plackettLuce(f64(), i32(0)).loss, 0)
  })
})
