import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { plainSampling, randomBatch, randomWeights, variants } from "./tinyModels.ts"

const [name, raw] = Object.entries(variants)[0]!

describe("32. padding", () => {
  it("invariant 32: on the left, on the right or on both sides changes nothing", () => {
    const policy = transformer(reference()).policy(randomWeights(raw, name))
    fc.assert(
      fc.property(fc.nat({ max: 5 }), fc.nat({ max: 5 }), fc.integer({ min: 1, max: 6 }), (left, right, length) => {
        const [row] = randomBatch([[length, 4]], "padding")
        const { prompt } = row!
        const padding = (n: number) => new Int32Array(n)
        const ids = Int32Array.of(...padding(left), ...prompt, ...padding(right))
        const mask = [...padding(left), ...prompt.map(() => 1), ...padding(right)]
        const same = { ...row!, prompt: ids.filter((_, i) => mask[i] !== 0) }
        assert.deepStrictEqual(policy.logprobs([same]), policy.logprobs([row!]))
        const sampled = (of: Int32Array) => policy.sample([of], plainSampling, ["padding"])
        assert.deepStrictEqual(sampled(same.prompt), sampled(prompt))
      }),
      { numRuns: 20 }
    )
    policy.dispose()
  })
})
