import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import { writeReport } from "../../src/report/write.ts"
import { openRun } from "../../src/store/runDirectory.ts"
import type { Event, Metrics } from "../../src/store/runLog.ts"
import { tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("report")

/** The report of a run whose steps had these metrics. */
const reportOf = (steps: ReadonlyArray<Metrics>): Promise<string> => {
  const at = folder()
  const { root } = tiny()
  return Effect.runPromise(
    Effect.gen(function*() {
      const append = yield* openRun(at, toJson(root), { backend: "native", store: at })
      for (const [i, metrics] of steps.entries()) {
        const event: Event = { _tag: "Step", stage: "sft-1", step: i + 1, steps: steps.length, tokens: 1, metrics }
        yield* append(event)
      }
      yield* writeReport(at, root, null)
      return readFileSync(join(at, "report.md"), "utf8")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
}

it("a report says what rounding to bf16 did, and nothing of it when nothing was rounded", async () => {
  const gap = { "bf16/logp_gap_mean": 0.00123, "bf16/logp_gap_max": 0.5 }
  const report = await reportOf([{ loss: 2, ...gap }, { loss: 1 }, {
    loss: 0.5,
    "bf16/value_gap_mean": 0,
    "bf16/value_gap_max": 0
  }])
  assert.include(report, "## Precision")
  const rows = report.split("\n").filter((line) => line.startsWith("| sft-1 ")).map((line) => line.split(/\s*\|\s*/u))
  assert.deepStrictEqual(rows.map((row) => row.slice(1, -1)), [
    ["sft-1", "1", "logp", "1.23e-3", "5.00e-1"],
    ["sft-1", "3", "value", "0.00e+0", "0.00e+0"]
  ])
  assert.notInclude(await reportOf([{ loss: 2 }]), "Precision")
})
