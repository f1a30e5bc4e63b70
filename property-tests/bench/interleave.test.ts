import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type { Case } from "../../src/bench/cases.ts"
import { type Contestant, interleave, runsFor } from "../../src/bench/measure.ts"

const one = (name: string): Case => ({
  name,
  title: name,
  peer: "torch",
  show: "ms",
  amount: 1,
  flops: null,
  heavy: false,
  open: () => () => {},
  request: {}
})

describe("a run", () => {
  it("takes everybody in turn, case by case, and does not count the first look", async () => {
    const calls: Array<string> = []
    let clock = 0
    const contestant = (name: string, takes: (one: Case) => boolean): Contestant => ({
      name,
      takes,
      measure: ({ name: what }, count) =>
        Effect.sync(() => {
          calls.push(`${name} ${what} ×${count}`)
          return ++clock
        })
    })
    const measured = await Effect.runPromise(interleave(
      [one("a"), one("b")],
      [contestant("ours", () => true), contestant("theirs", ({ name }) => name === "b")],
      2,
      () => Effect.void
    ))
    const round = ["ours a ×1", "ours b ×1", "theirs b ×1"]
    assert.deepStrictEqual(calls, [...round.flatMap((call) => [call, call]), ...round, ...round])
    assert.deepStrictEqual(measured.map(({ seconds }) => Object.fromEntries(seconds)), [
      { ours: [7, 10] },
      { ours: [8, 11], theirs: [9, 12] }
    ])
  })

  it("repeats what is short until a measurement is long enough", () => {
    assert.deepStrictEqual([runsFor(10), runsFor(0.2), runsFor(0.05), runsFor(1e-4)], [1, 1, 4, 2000])
    assert.strictEqual(runsFor(0), 2000)
  })
})
