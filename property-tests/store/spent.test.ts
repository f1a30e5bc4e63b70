/** What was spent is added in whole numbers: totals are sums of stages in any order, and a larger cap never fails earlier. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { type Resource, resources } from "../../dsl/Budget.ts"
import { amountOf, fromJson, moneyOf, nothingSpent, type Price, type Spent, toJson } from "../../src/store/spent.ts"
import { exceeded } from "../../src/training/budgets.ts"

const count = fc.nat({ max: 2 ** 40 })
const spent: fc.Arbitrary<Spent> = fc.record({
  generated: count,
  given: count,
  trained: count,
  judged: count,
  answers: count,
  asked: count,
  fees: count,
  flops: count,
  memory: count,
  disk: count,
  milliseconds: count,
  prompts: fc.uniqueArray(fc.nat({ max: 30 }), { maxLength: 12 }).map((ids) => new Set(ids))
})
const price: fc.Arbitrary<Price> = fc.record({
  currency: fc.constant("USD"),
  microsPerHour: fc.nat({ max: 1e9 }),
  microsPerMillionJudged: fc.nat({ max: 1e7 })
})
/** The resources of two steps of one stage together. */
const plus = (a: Spent, b: Spent): Spent => ({
  generated: a.generated + b.generated,
  given: a.given + b.given,
  trained: a.trained + b.trained,
  judged: a.judged + b.judged,
  answers: a.answers + b.answers,
  asked: a.asked + b.asked,
  fees: a.fees + b.fees,
  flops: a.flops + b.flops,
  memory: Math.max(a.memory, b.memory),
  disk: a.disk + b.disk,
  milliseconds: a.milliseconds + b.milliseconds,
  prompts: new Set([...a.prompts, ...b.prompts])
})
const cap = fc.integer({ min: 1, max: 2 ** 42 })
const resource = fc.constantFrom(...resources)

describe("what was spent", () => {
  it("in total is the sum of the stages, of memory the largest, of prompts the different ones", () => {
    fc.assert(
      fc.property(fc.array(spent, { minLength: 1, maxLength: 5 }), price, resource, (stages, price, resource) => {
        const own = stages.map((one) => amountOf(resource, [one], price))
        const total = amountOf(resource, stages, price)
        const sum = own.reduce((a, b) => a + b, 0)
        if (resource === "memory") assert.strictEqual(total, Math.max(...own))
        else if (resource === "prompts") {
          assert.isAtMost(total, sum)
          assert.isAtLeast(total, Math.max(...own))
          assert.strictEqual(total, stages.reduce(plus).prompts.size)
        } // A thousandth of a second is no binary fraction.
        else if (resource === "seconds") assert.closeTo(total, sum, 1e-12 * (1 + sum))
        else assert.strictEqual(total, sum)
      })
    )
  })

  it("survives JSON, and what is no such thing is none", () => {
    fc.assert(fc.property(spent, (one) => {
      const back = fromJson(JSON.parse(JSON.stringify(toJson(one))))
      assert.isTrue(back._tag === "Some")
      if (back._tag === "Some") assert.deepStrictEqual(toJson(back.value), toJson(one))
    }))
    for (const bad of [undefined, null, 3, {}, { ...toJson(nothingSpent) as object, generated: -1 }]) {
      assert.strictEqual(fromJson(bad)._tag, "None")
    }
  })

  it("costs device time by the hour and judged tokens by the million, rounded up to a millionth", () => {
    const of = { ...nothingSpent, milliseconds: 1_800_000, judged: 250_000 }
    const at = { currency: "USD", microsPerHour: 2_490_000, microsPerMillionJudged: 3_000_000 }
    // 2.49 an hour for half of one, 3 a million for a quarter of one.
    assert.strictEqual(moneyOf(of, at), 1_245_000 + 750_000)
    assert.strictEqual(moneyOf({ ...nothingSpent, milliseconds: 1 }, at), 1)
  })
})

describe("caps", () => {
  /** The first of a row of growing amounts at which it is over. */
  const firstOver = (
    steps: ReadonlyArray<Spent>,
    others: ReadonlyArray<Spent>,
    own: number,
    total: number,
    on: Resource,
    of: Price
  ) => {
    let sum: Spent = nothingSpent
    for (const [i, step] of steps.entries()) {
      sum = plus(sum, step)
      const totals = [{ limits: { [on]: total }, others: () => others }]
      if (exceeded({ [on]: own, totals }, sum, of) !== undefined) return i
    }
    return Infinity
  }

  it("a larger cap never fails earlier, alone and in total, and more spent by others never later", () => {
    fc.assert(
      fc.property(
        fc.array(spent, { minLength: 1, maxLength: 6 }),
        fc.array(spent, { maxLength: 3 }),
        spent,
        resource,
        price,
        fc.tuple(cap, cap, cap, cap),
        (steps, others, other, on, of, [a, b, c, d]) => {
          const total = on === "memory" ? Infinity : Math.min(c, d)
          const tight = firstOver(steps, others, Math.min(a, b), total, on, of)
          assert.isAtLeast(firstOver(steps, others, Math.max(a, b), total, on, of), tight)
          assert.isAtLeast(
            firstOver(steps, others, Math.min(a, b), on === "memory" ? Infinity : Math.max(c, d), on, of),
            tight
          )
          assert.isAtMost(firstOver(steps, [...others, other], Math.min(a, b), total, on, of), tight)
        }
      )
    )
  })

  it("what is spent up to the cap is within it, one more is not", () => {
    fc.assert(fc.property(spent, resource, price, fc.array(spent, { maxLength: 3 }), (one, on, of, others) => {
      const [own, all] = [Math.ceil(amountOf(on, [one], of)), Math.ceil(amountOf(on, [one, ...others], of))]
      fc.pre(own > 1)
      assert.isUndefined(exceeded({ [on]: own }, one, of))
      assert.strictEqual(exceeded({ [on]: own - 1 }, one, of)?.resource, on)
      const totals = (cap: number) => ({ totals: [{ limits: { [on]: cap }, others: () => others }] })
      assert.isUndefined(exceeded(totals(all), one, of))
      const over = exceeded(totals(all - 1), one, of)
      assert.deepStrictEqual([over?.used, over?.stages], [all, others.length + 1])
    }))
  })

  it("money is not counted where nobody said what it costs", () => {
    assert.isUndefined(exceeded({ money: 1 }, { ...nothingSpent, milliseconds: 1e9 }, null))
  })
})
