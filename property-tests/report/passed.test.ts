import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import { passed } from "../../src/report/passed.ts"
import { writeReport } from "../../src/report/write.ts"
import { openRun } from "../../src/store/runDirectory.ts"
import type { Event, Measurement } from "../../src/store/runLog.ts"
import { tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("passed")

const over = (
  step: number,
  spent: number,
  more: Partial<Extract<Event, { readonly _tag: "OverBudget" }>> = {}
): Event => ({
  _tag: "OverBudget",
  stage: "ppo-1",
  step,
  from: "sft-1",
  statistic: "mean",
  spent,
  cap: 0.5,
  kept: null,
  ...more
})

const measured = (more: Partial<Measurement>): Event => ({
  _tag: "Measured",
  measurement: {
    stage: "ppo-1",
    step: 4,
    from: "sft-1",
    estimator: "k1",
    direction: "reverse",
    temperature: 1,
    mean: 1.25,
    standardError: 0.125,
    perToken: 0.25,
    samples: 8,
    cap: 0.5,
    ...more
  }
})

describe("caps that were passed", () => {
  it("by a stage that rolled back: where, by what, and whose weights it made", () => {
    assert.deepStrictEqual(passed([over(4, 1.474, { kept: { step: 2 } })]), [
      "ppo-1 rolled back at step 4 to the weights of step 2, the last within its caps: mean KL from sft-1 was 1.474 nats per sequence, cap 0.5."
    ])
    const [max] = passed([over(4, 3, { statistic: "max", kept: { step: 0 } })])
    assert.include(
      max,
      "to the weights of step 0, the last within its caps: max over prompts of KL from sft-1 was 3.000"
    )
  })

  it("and a peak of gold reward: where it stopped, and whose weights it made, however often it is told", () => {
    const peak: Event = {
      _tag: "PeakPassed",
      stage: "ppo-1",
      step: 44,
      kept: 20,
      decline: { mean: 0.51, standardError: 0.1 }
    }
    assert.deepStrictEqual(passed([peak, peak]), [
      "ppo-1 stopped at step 44 and made the policy of step 20: gold reward had fallen by 0.51 ± 0.10 from there."
    ])
  })

  it("by a stage that went on: all its steps in one line, each once though it was measured again; each statistic apart", () => {
    assert.deepStrictEqual(
      passed([over(2, 0.6), over(4, 0.9), over(4, 0.9), over(6, 0.7), over(6, 2, { statistic: "p95", cap: 1.5 })]),
      [
        "ppo-1 went on above its cap, as the cap says: mean KL from sft-1 passed 0.5 nats per sequence at steps 2, 4, 6; at most 0.900.",
        "ppo-1 went on above its cap, as the cap says: p95 over prompts of KL from sft-1 passed 1.5 nats per sequence at step 6; at most 2.000."
      ]
    )
  })

  it("are in the report, whose ledger says which model each measurement is against; a run within its caps has none", async () => {
    const reportOf = (events: ReadonlyArray<Event>): Promise<string> => {
      const at = folder()
      const { root } = tiny()
      return Effect.runPromise(
        Effect.gen(function*() {
          const append = yield* openRun(at, toJson(root), { backend: "native", store: at })
          for (const event of events) yield* append(event)
          yield* writeReport(at, root, null)
          return readFileSync(join(at, "report.md"), "utf8")
        }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
      )
    }
    const reference = measured({ against: "reference", from: "its reference", cap: null })
    const rolled = over(4, 1.25, { kept: { step: 2 } })
    const report = await reportOf([measured({ against: "initial" }), reference, rolled])
    assert.include(report.split("\n"), passed([rolled])[0])
    const rows = report.split("\n").filter((line) => line.startsWith("| ppo-1 ")).map((line) => line.split(/\s*\|\s*/u))
    assert.deepStrictEqual(rows.map((row) => row.slice(5, 8)), [["0.5", "initial", "sft-1"], [
      "none",
      "reference",
      "its reference"
    ]])
    // Logs of before there was `against` have initial models only.
    const within = await reportOf([measured({ mean: 0.25 })])
    assert.notMatch(within, /rolled back|went on/u)
    assert.match(within, /\| 0\.5 +\| initial +\| sft-1/u)
  })
})
