/** Every example is a pipeline that `check` accepts, that survives JSON, and that `simulate` runs to its end. */
import { Effect, Result } from "effect"
import { readdirSync } from "node:fs"
import { assert, describe, it } from "vitest"
import * as Artifact from "../dsl/Artifact.ts"
import * as Pipeline from "../dsl/Pipeline.ts"
import { problems } from "../src/interpreters/check.ts"
import { spendsKl } from "../src/interpreters/capsOf.ts"
import { simulate } from "../src/interpreters/simulate.ts"
import { world as makeWorld } from "../src/engine/tabular/world.ts"
import type { Implementation } from "../src/outside/implementation.ts"

const folder = new URL("../examples/", import.meta.url)

/** Standard reinforcement learning has no artefacts: `control/control.test.ts` and `control/thermostat.test.ts` run it. */
const control = ["06-cartpole.ts", "35-thermostat.ts"]

const names = readdirSync(folder).filter((name) => /^\d\d-.*\.ts$/u.test(name) && !control.includes(name))

describe.each(names)("examples/%s", (name) => {
  const load = async () => {
    const { default: root, stages = [] } = await import(new URL(name, folder).href) as {
      readonly default: unknown
      readonly stages?: ReadonlyArray<Implementation>
    }
    if (!Artifact.isArtifact(root)) throw new Error(`${name} exports no pipeline`)
    return { root, stages }
  }

  it("has no mistakes and is the same after JSON", async () => {
    const { root, stages } = await load()
    assert.deepStrictEqual(problems(root), [])
    const again = Pipeline.fromJson(Pipeline.toJson(root), stages.map(({ definition }) => definition))
    assert.isTrue(Result.isSuccess(again) && again.success.id === root.id)
  })

  it("simulates to its end, every RL stage within its cap", async () => {
    const { root, stages } = await load()
    // Six rounds on four prompts leave policies of one answer, and nothing to compare.
    const world = makeWorld({ prompts: 16, vocab: 5, horizon: 3, seed: "keel" })
    const { policies } = await Effect.runPromise(simulate(root, { stages, ...name.startsWith("22") ? { world } : {} }))
    assert.isAbove(policies.length, 1)
    const measured = policies.flatMap(({ kl }) => kl)
    if (Artifact.lineage(root).some(spendsKl)) assert.isAbove(measured.length, 0)
    for (const { cap, nats } of measured) assert.isAtMost(nats, cap ?? Infinity)
  })
})
