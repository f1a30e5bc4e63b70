import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { aggregate, stepEnds } from "../../src/engine/processReward.ts"
import { outcome } from "../../src/losses/outcome.ts"
import { processLoss } from "../../src/losses/process.ts"
import { assertClose, f64, finiteDifferences, i32, numbers } from "./gradients.ts"

const logits = numbers(-6, 6, 5)

describe("outcome loss", () => {
  it("by hand: log-odds ln 3 of a right answer, 0 of a wrong one", () => {
    const { gradient, loss, metrics } = outcome(f64(Math.log(3), 0), [1, 0])
    assert.closeTo(loss, (Math.log(4 / 3) + Math.LN2) / 2, 1e-15)
    assertClose(gradient, [-1 / 8, 1 / 4], 1e-15)
    assert.strictEqual(metrics["accuracy"], 0.5)
  })

  it("invariant 34: its gradient is the finite differences", () => {
    fc.assert(fc.property(logits, fc.array(fc.constantFrom(0, 1), { minLength: 5, maxLength: 5 }), (z, labels) => {
      assertClose(outcome(z, labels).gradient, finiteDifferences((x) => outcome(x, labels).loss, z), 1e-8)
    }))
  })

  it("stays finite at large log-odds, and lets what is not finite through; nothing to judge is 0", () => {
    assert.strictEqual(outcome(f64(-2000), [1]).loss, 2000)
    assert.isNaN(outcome(f64(Infinity), [1]).loss)
    assert.isNaN(outcome(f64(NaN), [0]).loss)
    assert.strictEqual(outcome(f64(), []).loss, 0)
  })
})

describe("process loss", () => {
  it("of binary labels is that of outcomes", () => {
    fc.assert(fc.property(logits, (z) => {
      assert.deepStrictEqual(processLoss(z, [1, 0, 1, 0, 1], "binary"), outcome(z, [1, 0, 1, 0, 1]))
    }))
  })

  it("of three labels is a distribution over them, and its gradient the finite differences", () => {
    fc.assert(fc.property(logits, fc.array(fc.constantFrom(-1, 0, 1), { minLength: 5, maxLength: 5 }), (z, labels) => {
      const mass = [-1, 0, 1].reduce((sum, y) => sum + Math.exp(-processLoss(z.slice(0, 1), [y], "ternary").loss), 0)
      assert.closeTo(mass, 1, 1e-12)
      const of = (x: Float64Array) => processLoss(x, labels, "ternary")
      assertClose(of(z).gradient, finiteDifferences((x) => of(x).loss, z), 1e-7)
    }))
    // z = 0: P(1) = P(−1) = σ(−1), and 0 has the rest.
    const third = (y: number) => Math.exp(-processLoss(f64(0), [y], "ternary").loss)
    assert.closeTo(third(1), 1 / (1 + Math.E), 1e-15)
    assert.closeTo(third(0), 1 - 2 / (1 + Math.E), 1e-15)
  })
})

describe("the reward of a process", () => {
  const mark = { separator: [7, 8], stop: [2], aggregation: "min", labels: "binary" } as const

  it("finds the steps: where the separator ends, and the end without its end of sequence", () => {
    const ends = (completion: Int32Array, separator: ReadonlyArray<number> = mark.separator) =>
      stepEnds({ prompt: i32(1), completion }, { ...mark, separator })
    assert.deepStrictEqual(ends(i32(3, 7, 8, 4, 7, 8)), [2, 5])
    assert.deepStrictEqual(ends(i32(3, 7, 8, 4, 7, 8, 2)), [2, 5])
    assert.deepStrictEqual(ends(i32(3, 7, 8, 4, 7, 2)), [2, 4])
    assert.deepStrictEqual(ends(i32(3, 4)), [1])
    assert.deepStrictEqual(ends(i32(2)), [0])
    assert.deepStrictEqual(ends(i32()), [])
    assert.deepStrictEqual(ends(i32(3, 4, 2), []), [0, 1])
  })

  it("by hand: log-odds ln 3 and 0", () => {
    assert.closeTo(aggregate([Math.log(3), 0], mark), 1 / 2, 1e-15)
    assert.closeTo(aggregate([Math.log(3), 0], { ...mark, aggregation: "product" }), 3 / 8, 1e-15)
    // Of three labels, not being −1: σ(z + 1).
    assert.closeTo(aggregate([-1], { ...mark, labels: "ternary" }), 1 / 2, 1e-15)
    assert.isNaN(aggregate([NaN, 0], mark))
  })

  it("invariant 30: min and product rise with every step's score, and lie in [0, 1]", () => {
    fc.assert(fc.property(
      fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 6 }),
      fc.nat(5),
      fc.double({ min: 0, max: 4, noNaN: true }),
      fc.constantFrom("min" as const, "product" as const),
      fc.constantFrom("binary" as const, "ternary" as const),
      (steps, at, by, aggregation, labels) => {
        const raised = steps.map((z, i) => i === at % steps.length ? z + by : z)
        const [before, after] = [aggregate(steps, { aggregation, labels }), aggregate(raised, { aggregation, labels })]
        assert.isAtLeast(after, before)
        if (by > 0.01 && aggregation === "product") assert.isAbove(after, before)
        assert.isTrue(before >= 0 && after <= 1)
        // A step more is never better.
        assert.isAtMost(aggregate([...steps, 0], { aggregation, labels }), before)
      }
    ))
  })
})
