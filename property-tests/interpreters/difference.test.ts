/** The difference of two pipelines: none of equal ones, and every edit is in it, once, on the stage that was edited. */
import * as Result from "effect/Result"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Artifact, InstructGpt, Pipeline, Recipe } from "../../dsl/index.ts"
import { differences } from "../../src/interpreters/difference.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

const published = (chosen: object = {}) => Recipe.planned(InstructGpt.instructGpt, chosen)

describe("the difference of two pipelines", () => {
  it("is empty exactly if they are equal, and of a pair turned round the same stages", () => {
    fc.assert(fc.property(pipelines(), pipelines(), ({ root: a }, { root: b }) => {
      const [none, there, back] = [differences(a, a), differences(a, b), differences(b, a)]
      assert.deepEqual(none, { changed: [], removed: [], added: [] })
      assert.strictEqual(there.changed.length + there.removed.length + there.added.length === 0, a.id === b.id)
      assert.deepEqual([...there.removed].sort(), [...back.added].sort())
      assert.deepEqual([...there.added].sort(), [...back.removed].sort())
    }))
  })

  it("names the one parameter that was changed, of every stage that has it, and no wire", () => {
    fc.assert(
      fc.property(pipelines(), fc.integer({ min: 2, max: 10 ** 6 }), ({ root }, seed) => {
        const changed = Result.getOrUndefined(Pipeline.set(root, "sft.seed", seed))
        const before = Artifact.lineage(root).filter(({ node }) =>
          node.op === "Sft" && (node.params as { readonly seed?: number }).seed !== seed
        )
        if (changed === undefined) return
        const found = differences(root, changed)
        assert.isEmpty([...found.removed, ...found.added])
        assert.lengthOf(found.changed, before.length)
        for (const { changes } of found.changed) {
          assert.isEmpty(changes.filter((change) => !change.startsWith("seed ")))
        }
      }),
      { numRuns: 50 }
    )
  })

  it("says which wire goes elsewhere, by the names of outputs", () => {
    const [a, b] = [published(), published()]
    const { node } = b.policy.node.wires["of"]!
    const swapped = Artifact.make({ ...node, wires: { ...node.wires, reference: b.sft } })
    const policy = Artifact.make({ ...b.policy.node, wires: { ...b.policy.node.wires, of: swapped } })
    const { added, changed, removed } = differences(Pipeline.outputs(a), Pipeline.outputs({ ...b, policy }))
    assert.deepEqual(changed, [{ name: "policy (Ppo)", changes: ["reference: init → sft"] }])
    assert.isEmpty([...added, ...removed])
  })

  it("says numbers with their units", () => {
    const other = published({ maxNewTokens: 512 })
    const { changed } = differences(Pipeline.outputs(published()), Pipeline.outputs(other))
    assert.deepEqual(changed, [
      { name: "policy (Ppo)", changes: ["maxNewTokens 1024 → 512 tokens"] },
      { name: "the cap on policy", changes: ["maxNewTokens 1024 → 512 tokens"] },
      { name: "sft (Sft)", changes: ["keep.maxNewTokens 1024 → 512"] }
    ])
  })
})
