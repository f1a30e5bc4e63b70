/** Every example is a pipeline that `check` accepts, that survives JSON, and that `simulate` runs to its end. */
import { Effect, Result } from "effect"
import { readdirSync } from "node:fs"
import { assert, describe, it } from "vitest"
import * as Artifact from "../dsl/Artifact.ts"
import * as Pipeline from "../dsl/Pipeline.ts"
import { problems } from "../src/interpreters/check.ts"
import { spendsKl } from "../src/interpreters/limits.ts"
import { simulate } from "../src/interpreters/simulate.ts"

const folder = new URL("../examples/", import.meta.url)

describe.each(readdirSync(folder).filter((name) => /^\d\d-.*\.ts$/u.test(name)))("examples/%s", (name) => {
  const load = async (): Promise<Artifact.Any> => {
    const { default: root } = await import(new URL(name, folder).href) as { readonly default: unknown }
    if (!Artifact.isArtifact(root)) throw new Error(`${name} exports no pipeline`)
    return root
  }

  it("has no mistakes and is the same after JSON", async () => {
    const root = await load()
    assert.deepStrictEqual(problems(root), [])
    const again = Pipeline.fromJson(Pipeline.toJson(root))
    assert.isTrue(Result.isSuccess(again) && again.success.id === root.id)
  })

  it("simulates to its end, every RL stage within its cap", async () => {
    const root = await load()
    const { policies } = await Effect.runPromise(simulate(root))
    assert.isAbove(policies.length, 1)
    const measured = policies.flatMap(({ kl }) => kl)
    if (Artifact.lineage(root).some(spendsKl)) assert.isAbove(measured.length, 0)
    for (const { cap, nats } of measured) assert.isAtMost(nats, cap)
  })
})
