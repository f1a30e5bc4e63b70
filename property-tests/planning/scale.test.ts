/** A plan of what others have published stays small: what it asks of the backend and what it makes are bounded, whatever it plans. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  Ppo,
  Pretrain,
  RewardLoss,
  RewardModeling,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { countedEngine } from "../../src/planning/countedEngine.ts"
import { plan, type StagePlan } from "../../src/planning/plan.ts"

/** The shape of Llama 3 8B, for contexts of 64 thousand tokens. */
const config = {
  model_type: "llama",
  vocab_size: 128_256,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 65_536,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000
}
const prompts = Source.prompts(Source.tales({ split: "train", count: 2000 }))
const held = Source.prompts(Source.tales({ split: "held", count: 256 }))
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 64 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 65_536 },
  steps: 2,
  batchSize: 2,
  learningRate: 1e-3
})
const reward = RewardModeling.make({ init: base, preferences: Source.rankings(Source.tales({ count: 64 })) }, {
  batchSize: 64,
  learningRate: 1e-5,
  loss: RewardLoss.kWise()
})
const capped = (of: Artifact.Any): Artifact.Any =>
  Pipeline.cap(of as never, { kl: Kl.mnatsPerSequence(8_000), from: base as never })
const training = { learningRate: 1e-6, allowance: Kl.mnatsPerSequence(8_000), measureEvery: 10 }
const grpo = (groups: number, maxNewTokens: number) =>
  capped(Grpo.make({ init: base, reference: base, prompts, held }, {
    ...PolicyGradient.drGrpo,
    ...training,
    beta: 0.02,
    verifiers: [Verifier.keywords()],
    steps: 40,
    batchSize: groups,
    groupSize: 16,
    maxNewTokens
  }))
const ppo = (episodes: number, maxNewTokens: number) =>
  capped(Ppo.make({ init: base, reference: base, reward, value: reward, prompts, held }, {
    ...training,
    beta: 0.01,
    steps: 400,
    batchSize: episodes,
    numMiniBatches: 8,
    maxNewTokens
  }))

/** Its last stage, and how often the backend was asked; the host takes a second for each token that it samples. */
const planned = async (root: Artifact.Any): Promise<{ readonly stage: StagePlan; readonly calls: number }> => {
  let calls = 0
  const backend = () => {
    calls++
    return 0
  }
  const options = {
    shape: { config, tokenizer: new Map() },
    costs: { backend, host: { sample: { call: 0, byte: 1, flop: 0 } } }
  }
  const { stages, unplanned } = await Effect.runPromise(Effect.provide(plan(root, options), NodeFileSystem.layer))
  assert.deepStrictEqual(unplanned, [])
  return { stage: stages.at(-1)!, calls }
}

describe("a plan at published scale", () => {
  for (
    const [name, of] of [["GRPO", (count: number, length: number) => grpo(count / 16, length)], ["PPO", ppo]] as const
  ) {
    it(`of ${name} asks the backend fewer than 200,000 times, and counts every token`, async () => {
      for (const [count, maxNewTokens] of [[512, 32_768], [4096, 20_480]] as const) {
        const { calls, stage: { generated, hostSeconds, steps } } = await planned(of(count, maxNewTokens))
        assert.isBelow(calls, 200_000)
        // Besides what it trains on, what KL is measured on, every ten steps.
        const measured = generated - steps * count * maxNewTokens
        assert.strictEqual(measured % (steps / 10 * maxNewTokens), 0)
        assert.isAbove(measured, 0)
        assert.approximately(hostSeconds! / generated, 1, 1e-9)
      }
    }, 60_000)
  }

  it("makes a bounded number of tokens a call, and counts all", () => {
    const meter = countedEngine()
    const policy = meter.engine.policy(meter.engine.initial({
      dim: 8,
      layers: 1,
      heads: 2,
      kvHeads: 1,
      ffn: 12,
      context: 65_536,
      words: ["a", "b", "c"],
      seed: "scale"
    }))
    meter.stepping("training")
    for (const [count, maxNewTokens] of [[512, 32_768], [4096, 20_480], [8, 100]] as const) {
      const before = meter.amounts()
      const rows = Array.from({ length: count }, () => ({ prompt: Int32Array.of(1, 2), completion: new Int32Array(0) }))
      const sampled = policy.sample(
        rows.map(({ prompt }) => prompt),
        { maxNewTokens, temperature: 1, topK: 0, topP: 1, stop: [0] },
        rows.map((_, i) => String(i))
      )
      const batch = rows.map(({ prompt }, i) => ({ prompt, completion: sampled[i]!.completion }))
      const { logps } = policy.logprobs(batch, { retain: true })
      policy.backward(logps)
      assert.isAtMost(logps.length, 2 ** 17)
      assert.strictEqual(logps.length, sampled.reduce((sum, { completion }) => sum + completion.length, 0))
      const { generated, passed, trained } = meter.amounts()
      assert.strictEqual(generated - before.generated, count * maxNewTokens)
      assert.strictEqual(trained - before.trained, count * maxNewTokens)
      assert.strictEqual(passed - before.passed, count * (2 * maxNewTokens + 2))
      // After another call that made all of its few tokens.
      policy.sample([Int32Array.of(1)], { maxNewTokens: 1, temperature: 1, topK: 0, topP: 1, stop: [0] }, ["few"])
      policy.logprobs(batch)
      assert.strictEqual(meter.amounts().passed - passed, 1 + count * (maxNewTokens + 2))
    }
  })
})
