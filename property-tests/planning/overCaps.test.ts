/** A plan held against caps on what is spent: at the cap it passes, one below it does not, alone and in total. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Result } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { overCaps, overCapText } from "../../src/planning/overCaps.ts"
import { plan, type Planned } from "../../src/planning/plan.ts"
import { tiny } from "../interpreters/tiny.ts"

const price = { currency: "EUR", microsPerHour: 3_600_000_000, microsPerMillionJudged: 0 }
const { policy, sft } = tiny()
const planned: Planned = await Effect.runPromise(Effect.provide(plan(policy), NodeFileSystem.layer)).then((
  planned
) => ({
  ...planned,
  stages: planned.stages.map((stage, i) => ({ ...stage, seconds: i + 1 }))
}))
type Stage = Planned["stages"][number]
/** Below the cap, with what each takes of every resource. */
const governed = planned.stages.filter(({ stage }) => /^(?:compare|rewardmodeling|ppo)-/u.test(stage))
const takes = {
  tokens: ({ generated, trained }: Stage) => generated + trained,
  generated: ({ generated }: Stage) => generated,
  trained: ({ trained }: Stage) => trained,
  flops: ({ flops }: Stage) => Math.ceil(flops),
  seconds: ({ seconds }: Stage) => seconds!,
  prompts: ({ prompts }: Stage) => prompts,
  disk: ({ disk }: Stage) => disk.most
}
type Known = keyof typeof takes
const added = (of: (stage: Stage) => number): number => governed.reduce((sum, stage) => sum + of(stage), 0)
const most = (of: (stage: Stage) => number): number => Math.max(...governed.map(of))
/** What is not added up: prompts may be the same ones, and only one stage at a time has checkpoints. */
const together: Partial<Record<Known, () => number>> = {
  prompts: () => most(({ prompts }) => prompts),
  disk: () => added(({ disk }) => disk.made) + most(({ disk }) => disk.most - disk.made)
}
const cap = Pipeline.cap as unknown as (of: Artifact.Any, limits: object) => Artifact.Any
const capped = (limits: object) => cap(policy, { from: sft, ...limits })

describe("caps held against a plan", () => {
  it("pass what takes exactly as much, and name every stage that takes more", () => {
    assert.lengthOf(governed, 3)
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(takes) as ReadonlyArray<Known>),
        fc.nat({ max: 2 }),
        fc.constantFrom(-1, 0, 1),
        (resource, which, by) => {
          const cap = takes[resource](governed[which]!) + by
          fc.pre(cap > 0)
          const found = overCaps(capped({ [resource]: cap }), planned.stages, null)
          assert.sameDeepMembers(
            [...found],
            governed.filter((stage) => takes[resource](stage) > cap).map((stage) => ({
              stages: [stage.stage],
              resource,
              planned: takes[resource](stage),
              cap
            }))
          )
        }
      )
    )
  })

  it("on the disk are met without a checkpoint on the way, as the remedy says", async () => {
    const ppo = governed.find(({ stage }) => stage.startsWith("ppo-"))!
    const { made, most } = ppo.disk
    assert.isAbove(most, made)
    const [over] = overCaps(capped({ disk: most - 1 }), planned.stages, null)
    assert.match(
      overCapText(over!),
      /or make no checkpoint on the way,.*\(checkpointEvery not below the steps\)\.$/u
    )
    const without = Result.getOrThrow(Pipeline.set(policy, "ppo.checkpointEvery", ppo.steps))
    const { stages } = await Effect.runPromise(Effect.provide(plan(without), NodeFileSystem.layer))
    assert.deepStrictEqual(stages.find(({ stage }) => stage.startsWith("ppo-"))!.disk, { made, most: made })
  })

  it("are held together where they are a total, once", () => {
    for (const [resource, of] of Object.entries(takes) as ReadonlyArray<[Known, (stage: Stage) => number]>) {
      const sum = Math.ceil(together[resource]?.() ?? added(resource === "flops" ? ({ flops }) => flops : of))
      assert.deepStrictEqual(overCaps(capped({ total: { [resource]: sum } }), planned.stages, null), [])
      const found = overCaps(capped({ total: { [resource]: sum - 1 } }), planned.stages, null)
      assert.lengthOf(found, 1)
      assert.sameMembers([...found[0]!.stages], governed.map(({ stage }) => stage))
      assert.match(
        overCapText(found[0]!),
        /and 2 more are together planned to take (?:at least )?.*, and the cap is .*: raise the cap/u
      )
    }
  })

  it("count money by the price table, and nothing without one", () => {
    const dear = capped({ money: { currency: "EUR", micros: 2_000_000 } })
    assert.deepStrictEqual(overCaps(dear, planned.stages, null), [])
    const found = overCaps(dear, planned.stages, price)
    assert.deepStrictEqual(
      found.map(({ planned }) => planned),
      governed.map(({ seconds }) => 1_000_000 * seconds!).filter((micros) => micros > 2_000_000)
    )
    assert.include(overCapText(found[0]!, price.currency), "EUR")
  })
})
