/** The pool of solved prompts: which prompts a batch takes, their share, and a pool that is saved and read again. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { batchAt } from "../../src/training/batches.ts"
import { after, type Drawing, drawn, type Solved, solvedOf, solvedState } from "../../src/training/solved.ts"

const drawings = fc.record({
  count: fc.integer({ min: 1, max: 30 }),
  size: fc.integer({ min: 1, max: 12 }),
  again: fc.constantFrom(0, 0.1, 0.5, 1),
  key: fc.string({ maxLength: 4 }),
  place: fc.string({ maxLength: 4 })
})
const pools = fc.record({ rows: fc.uniqueArray(fc.nat(29), { maxLength: 30 }), taken: fc.nat(60) })
const poolOf = ({ rows, taken }: { readonly rows: ReadonlyArray<number>; readonly taken: number }, count: number) =>
  ({ rows: new Set(rows.filter((row) => row < count)), taken }) satisfies Solved as Solved

describe("the pool of solved prompts", () => {
  it("gives each of its prompts at most once a batch; the others come in the order of the epochs, none left out", () => {
    fc.assert(fc.property(drawings, pools, (drawing, given) => {
      const solved = poolOf(given, drawing.count)
      const { chosen, ofPool, solved: next } = drawn(solved, drawing)
      assert.lengthOf(chosen, drawing.size)
      if (solved.rows.size === drawing.count) return assert.strictEqual(ofPool, Math.min(drawing.size, drawing.count))
      const own = chosen.filter((row) => solved.rows.has(row))
      assert.lengthOf(own, ofPool)
      assert.strictEqual(new Set(own).size, own.length)
      if (drawing.again === 0) assert.strictEqual(ofPool, 0)
      if (drawing.again === 1) assert.strictEqual(ofPool, Math.min(drawing.size, solved.rows.size))
      const passedOver = Array.from(
        { length: next.taken - solved.taken },
        (_, i) => batchAt(drawing.key, drawing.count, 1, solved.taken + i)[0]!
      )
      assert.deepStrictEqual(
        chosen.filter((row) => !own.includes(row)),
        passedOver.filter((row) => !own.includes(row) && !solved.rows.has(row))
      )
    }))
  })

  it("has its share of the prompts, each of its prompts as often", () => {
    const rows = new Set(Array.from({ length: 40 }, (_, i) => i))
    for (const again of [0.1, 0.5]) {
      const counts = new Map<number, number>()
      let solved: Solved = { rows, taken: 0 }
      for (let n = 0; n < 2000; n++) {
        const batch = drawn(solved, { count: 60, size: 8, again, key: "share", place: `${n}/0` })
        solved = batch.solved
        for (const row of batch.chosen) counts.set(row, (counts.get(row) ?? 0) + 1)
      }
      const all = 16_000
      const ofPool = [...counts].filter(([row]) => rows.has(row)).map(([, times]) => times)
      const sum = ofPool.reduce((total, times) => total + times, 0)
      assert.isBelow(Math.abs(sum / all - again), 4 * Math.sqrt(again * (1 - again) / all))
      for (const times of ofPool) assert.isBelow(Math.abs(times - sum / 40), 5 * Math.sqrt(sum / 40))
    }
  })

  it("holds the prompts whose last group passed, and goes on after a stop as if there had been none", () => {
    const batches = fc.array(fc.array(fc.boolean(), { minLength: 24, maxLength: 24 }), { minLength: 1, maxLength: 12 })
    fc.assert(fc.property(drawings, batches, fc.nat(11), (drawing, verdicts, stop) => {
      const [groupSize, size] = [2, Math.min(drawing.size, 12)]
      const last = new Map<number, boolean>()
      let [whole, stopped] = [solvedOf(null), solvedOf(null)]
      for (const [n, passed] of verdicts.entries()) {
        const now: Drawing = { ...drawing, size, place: String(n) }
        if (n === stop) stopped = solvedOf(JSON.parse(JSON.stringify(solvedState(stopped))))
        const [one, two] = [drawn(whole, now), drawn(stopped, now)]
        assert.deepStrictEqual(two.chosen, one.chosen)
        one.chosen.forEach((row, g) => last.set(row, passed[2 * g]! && passed[2 * g + 1]!))
        whole = after(one.solved, one.chosen, passed, groupSize)
        stopped = after(two.solved, two.chosen, passed, groupSize)
        const solved = [...last].filter(([, yes]) => yes).map(([row]) => row).sort((a, b) => a - b)
        assert.deepStrictEqual([...whole.rows].sort((a, b) => a - b), solved)
      }
    }))
  })
})
