import { assert, describe, it } from "vitest"
import { choose, chosenBackward } from "../../../src/engine/transformer/routing.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { modelConfig } from "../../../src/model/config.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { plainSampling, randomNumbers, randomWeights, variants } from "./tinyModels.ts"

const names = ["Qwen 3 MoE", "OLMoE", "Mixtral"]

describe("routed experts", () => {
  it("of a token are those of highest probability, whatever other tokens there are", () => {
    const routing = { experts: 4, active: 2, renormalised: true }
    const logits = Float64Array.of(0, 3, 1, 3, 2, 2, 2, 2)
    const both = choose(logits, 2, routing)
    assert.deepStrictEqual([...both.expert], [0, 1, 1, 3])
    assert.deepStrictEqual([...both.token], [1, 0, 1, 0])
    assert.deepStrictEqual([...both.weight], [0.5, 0.5, 0.5, 0.5])
    assert.deepStrictEqual([...choose(logits.slice(0, 4), 1, routing).expert], [1, 3])
  })

  it.each([true, false])("have the gradient of their weights (renormalised: %s)", (renormalised) => {
    const routing = { experts: 5, active: 2, renormalised }
    const logits = randomNumbers(15, "logits")
    const dWeight = randomNumbers(6, "weights")
    const of = (z: Float64Array): number => choose(z, 3, routing).weight.reduce((sum, w, s) => sum + w * dWeight[s]!, 0)
    const found = chosenBackward(choose(logits, 3, routing), dWeight, routing)
    logits.forEach((_, i) => {
      const moved = (by: number) => of(logits.map((z, j) => j === i ? z + by : z))
      assert.closeTo(found[i]!, (moved(1e-6) - moved(-1e-6)) / 2e-6, 1e-8)
    })
  })

  it.each(names)("of %s are chosen alike by the sampler and the trainer", (name) => {
    const policy = transformer(reference()).policy(randomWeights(variants[name]!, "replay"))
    const prompt = Int32Array.of(3, 5, 7)
    const rows = policy.sample([prompt, prompt], { ...plainSampling, stop: [] }, ["a", "b"])
    const logps = policy.logprobs(rows.map(({ completion }) => ({ prompt, completion }))).logps
    const sampled = rows.flatMap((row) => [...row.logps])
    sampled.forEach((logp, i) => assert.closeTo(logp, logps[i]!, 1e-12))
  })

  it.each(names)("of %s are refused to LoRA, with advice", (name) => {
    const lora = { rank: 1, alpha: 1, seed: "lora", targetModules: ["q_proj", "down_proj"] }
    assert.throws(() => transformer(reference()).policy(randomWeights(variants[name]!, "lora"), { lora }), /experts/u)
  })

  it("with a load-balance loss, noise or more experts a token than there are, are refused by name", () => {
    const mixtral = variants["Mixtral"]!
    assert.throws(() => modelConfig({ ...mixtral, output_router_logits: true }), /output_router_logits/u)
    assert.throws(() => modelConfig({ ...mixtral, router_jitter_noise: 0.1 }), /router_jitter_noise/u)
    assert.throws(() => modelConfig({ ...mixtral, num_experts_per_tok: 5 }), /num_experts_per_tok 5/u)
  })
})
