/** Planned compute beside what was published: operations within a factor of 1.5, hours within 3, or a reason. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { devices } from "../../src/bench/devices.ts"
import { roofline } from "../../src/planning/cost/costs.ts"
import { planned } from "../../src/planning/plan.ts"
import { markdown } from "../../src/report/table.ts"
import { golden } from "../cli/keel.ts"
import { day, publishedStages } from "./publishedStages.ts"

describe("planned compute", () => {
  it("is what was published, for a bounded number of kernel calls", async () => {
    const table: Array<ReadonlyArray<string>> = []
    for (const { besides, devices: several, flops, hours, of, outside, source, stage } of publishedStages) {
      let calls = 0
      const costs = roofline(devices.h100)
      const backend: typeof costs.backend = (...call) => {
        calls++
        return costs.backend(...call)
      }
      const { stages, unplanned } = await Effect.runPromise(Effect.provide(
        planned(of, { costs: { ...costs, backend }, devices: several }),
        NodeFileSystem.layer
      ))
      assert.deepStrictEqual(unplanned, [], stage)
      assert.isBelow(calls, 2_000_000, stage)
      const plan = stages.at(-1)!
      // No publication measures as Keel does.
      const { flops: measured = 0, seconds = 0 } = plan.phases.find(({ phase }) => phase === "measure") ?? {}
      const [own, operations] = [several.count * (plan.seconds! - seconds!) / 3600, plan.flops - measured]
      const factor = flops === undefined ? own / hours! : operations / flops
      const most = flops === undefined ? 3 : 1.5
      assert.strictEqual(factor <= most && factor >= 1 / most, outside === undefined, `${stage}: ${factor}`)
      const round = (x: number): string => Number(x.toPrecision(3)).toLocaleString("en-US")
      table.push([
        stage,
        source,
        flops === undefined ? `${round(hours!)} GPU-h` : `${flops / day} PF/s-days`,
        flops === undefined ? `${round(own)} GPU-h` : `${round(operations / day)} PF/s-days`,
        factor.toFixed(2),
        operations.toExponential(1),
        `${several.count}${several.sampling === undefined ? "" : `, ${several.sampling} sampling`}`,
        `${round(plan.bytes / 1e9)} GB`,
        outside === undefined ? besides : `${besides}; ${outside}`
      ])
    }
    golden(
      "planned-compute.txt",
      `${
        markdown([
          [
            "stage",
            "source",
            "published",
            "planned",
            "factor",
            "FLOPs",
            "H100s",
            "memory of one",
            "lengths are guesses"
          ],
          ...table
        ])
      }\n`
    )
  }, 240_000)
})
