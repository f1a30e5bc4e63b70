/** Which stages of a pipeline take the same, so that one plan serves for them. */
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Kl, Pipeline } from "../../dsl/index.ts"
import { likenesses } from "../../src/planning/sameShape.ts"
import { capsIn } from "../../src/interpreters/capsOf.ts"
import { tiny } from "../interpreters/tiny.ts"

const likeness = (root: Artifact.Any, of: Artifact.Any): string => likenesses(capsIn(root))(of)

describe("stages are alike", () => {
  const { rl, sft } = tiny()
  const under = (caps: Partial<Pipeline.Limits>): string =>
    likeness(Pipeline.cap(rl, { kl: Kl.mnatsPerSequence<number>(1000), from: sft, ...caps }), rl)

  it("whatever their seed, the size of their KL cap, and what happens when it is passed", () => {
    const [one, two] = [tiny({ seed: 1 }), tiny({ seed: 2 })]
    assert.strictEqual(likeness(one.policy, one.rl), likeness(two.policy, two.rl))
    assert.strictEqual(under({}), under({ kl: Kl.mnatsPerSequence<number>(2000), whenSpent: "warn" }))
  })

  it("but not with a cap per prompt, which asks for more samples, nor with other steps or another memory", () => {
    assert.notStrictEqual(under({}), under({ klMax: Kl.mnatsPerSequence<number>(5000) }))
    const [one, two] = [tiny(), tiny({ steps: 5 })]
    assert.notStrictEqual(likeness(one.policy, one.rl), likeness(two.policy, two.rl))
    assert.notStrictEqual(likeness(one.policy, one.rl), likeness(tiny({ limits: { memory: 1e9 } }).policy, one.rl))
  })
})
