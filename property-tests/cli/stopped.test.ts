import { assert, describe, it } from "vitest"
import { goesOn } from "../../src/program/stopped.ts"
import type { Event } from "../../src/store/runLog.ts"

const stage = "sft-12345678"
const started = (from: number): Event => ({ _tag: "Started", stage, steps: 9, from })
const step = (n: number): Event => ({ _tag: "Step", stage, step: n, steps: 9, tokens: 1, metrics: {} })
const saved = (n: number): Event => ({ _tag: "Checkpoint", stage, step: n, path: "" })
const finished: Event = { _tag: "Finished", stage, tokens: 1 }

describe("where a stopped run goes on", () => {
  const cases: ReadonlyArray<readonly [events: ReadonlyArray<Event>, where: string | null]> = [
    [[], null],
    [[started(0), step(1), finished], null],
    [[started(0)], `${stage} begins again`],
    [[started(0), step(1)], `${stage} begins again, its 1 finished step lost`],
    [[started(0), step(1), step(2)], `${stage} begins again, its 2 finished steps lost`],
    [[started(0), step(1), saved(1)], `${stage} goes on from step 1 of 9, its last checkpoint`],
    [[started(4)], `${stage} goes on from step 4 of 9, its last checkpoint`],
    [[started(4), step(5)], `${stage} goes on from step 4 of 9, its last checkpoint: the step after it is lost`],
    [
      [started(0), step(1), saved(1), step(2), step(3)],
      `${stage} goes on from step 1 of 9, its last checkpoint: the 2 steps after it are lost`
    ],
    // A process that was killed told of steps that this one has not done again.
    [[step(6), step(7), started(5)], `${stage} goes on from step 5 of 9, its last checkpoint`]
  ]
  for (const [events, where] of cases) it(String(where), () => assert.strictEqual(goesOn(events), where))
})
