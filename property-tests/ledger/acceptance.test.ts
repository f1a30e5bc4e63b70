/** What the ledger says of a filter by its counts, against the exact shares of each prompt. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { accepted as exactly, logDistribution, rewardTable } from "../../src/engine/tabular/exact.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { acceptanceOf, accepted } from "../../src/ledger/acceptance.ts"
import { stream } from "../../src/sampling/random.ts"
import { randomPolicy } from "../engine/tabularWorlds.ts"

const repeated = (counts: Readonly<Record<string, number>>): ReadonlyArray<string> =>
  Object.entries(counts).flatMap(([prompt, count]) => Array.from({ length: count }, () => prompt))

describe("a filter by its counts", () => {
  it("is by prompt: shares of 0.9 and 0.1 are 1.204 nats on average and 2.303 at most, not log 2", () => {
    const found = acceptanceOf(accepted(repeated({ a: 10, b: 10 }), repeated({ a: 9, b: 1 })))!
    assert.closeTo(found.mean, (-Math.log(0.9) - Math.log(0.1)) / 2, 1e-12)
    assert.strictEqual(found.mean.toFixed(3), "1.204")
    assert.strictEqual(found.largest.toFixed(3), "2.303")
    assert.deepStrictEqual([found.prompts, found.lost], [2, 0])
  })

  it("a prompt without a row left is counted, and in no mean; nothing left is nothing known", () => {
    const found = acceptanceOf(accepted(repeated({ a: 4, b: 4, c: 4 }), repeated({ a: 4, c: 2 })))!
    assert.closeTo(found.mean, Math.LN2 / 2, 1e-12)
    assert.deepStrictEqual([found.prompts, found.lost], [2, 1])
    assert.isNull(acceptanceOf(accepted(["a"], [])))
    assert.isNull(acceptanceOf({ "rows/in": 2, "rows/out": 1 }))
  })

  it("law: with as many candidates each the mean is never below −log of the pooled share; its intervals hold it", () => {
    const shares = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 })
    fc.assert(fc.property(shares, (passed) => {
      const prompts = passed.map((_, i) => `p${i}`)
      const counts = (of: (i: number) => number) => repeated(Object.fromEntries(prompts.map((p, i) => [p, of(i)])))
      const { intervals, largest, mean } = acceptanceOf(accepted(counts(() => 12), counts((i) => passed[i]!)))!
      const pooled = passed.reduce((sum, n) => sum + n, 0) / (12 * passed.length)
      assert.isAtLeast(mean, -Math.log(pooled) - 1e-12)
      assert.isAtLeast(largest, mean - 1e-12)
      assert.isTrue(intervals.mean.low <= mean && mean <= intervals.mean.high)
      assert.isTrue(intervals.largest.low <= largest && largest <= intervals.largest.high)
    }))
  })

  it("its intervals cover −log of the exact shares in 95 % of 400 runs and more", () => {
    const world = makeWorld({ prompts: 5, vocab: 3, horizon: 3, seed: "acceptance" })
    const logps = logDistribution(world, randomPolicy(world, "policy"))
    const reward = rewardTable(world)
    const exact = exactly(logps, reward, -0.5).logAccept.map((x) => -x)
    assert.isTrue(exact.every((x) => x > 0.01 && x < 2.2), String(exact))
    let covered = 0
    for (let run = 0; run < 400; run++) {
      const random = stream(`acceptance/${run}`)
      const passed = exact.flatMap((nats, p) =>
        Array.from({ length: 40 }, () => random.next() < Math.exp(-nats)).filter(Boolean).map(() => `p${p}`)
      )
      const { intervals, lost } = acceptanceOf(accepted(repeated({ p0: 40, p1: 40, p2: 40, p3: 40, p4: 40 }), passed))!
      const mean = exact.reduce((sum, x) => sum + x, 0) / exact.length
      const holds = (value: number, { high, low }: typeof intervals.mean) => low <= value && value <= high
      if (lost === 0 && holds(mean, intervals.mean) && holds(Math.max(...exact), intervals.largest)) covered++
    }
    assert.isAtLeast(covered / 400, 0.95)
  })
})
