/** A plan of what others have published stays small: what it asks of the backend and what it makes are bounded, whatever it plans. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Distill,
  Distillation,
  Dpo,
  Gold,
  Grpo,
  Kl,
  OnPolicyDistill,
  Pair,
  Pipeline,
  PolicyGradient,
  Ppo,
  PreferenceLoss,
  Pretrain,
  RewardLoss,
  RewardModeling,
  Sample,
  Score,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { countedEngine } from "../../src/planning/countedEngine.ts"
import { plan, type PlanOptions, type StagePlan } from "../../src/planning/plan.ts"
import type { Cost } from "../../src/tensor/counting/backend.ts"

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
const planned = async (
  root: Artifact.Any,
  { vocab = config.vocab_size, ...how }: Pick<PlanOptions, "devices"> & { readonly vocab?: number } = {}
): Promise<{ readonly stage: StagePlan; readonly calls: number }> => {
  let [calls, read] = [0, 0]
  const backend: Cost = (what, flops, bytes) => {
    calls++
    // Rows of logits, smaller than any matrix. Here, because a plan that reads all of them does not end.
    if (what === "read" && bytes >= 4 * vocab && bytes <= 2 ** 22 && ++read > 100) throw new Error("it reads logits")
    return flops + bytes
  }
  const { stages, unplanned } = await Effect.runPromise(Effect.provide(
    plan(root, {
      ...how,
      shape: { config: { ...config, vocab_size: vocab }, tokenizer: new Map() },
      costs: { backend, host: { sample: { call: 0, byte: 1, flop: 0 } } }
    }),
    NodeFileSystem.layer
  ))
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

  it("goes on behind a judge: made-up answers of a prompt have different scores", async () => {
    const sampled = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: 512 })
    const preferences = Pair.make({ completions: Score.byJudge({ completions: sampled }, { gold: Gold.tales }) }, {
      rejected: "random-lower"
    })
    const { stage } = await planned(capped(
      Dpo.make({ init: base, reference: base, preferences, held }, {
        ...training,
        loss: PreferenceLoss.dpo({ beta: 0.1 }),
        batchSize: 32,
        maxNewTokens: 512
      })
    ))
    assert.strictEqual(stage.steps, Math.ceil(2000 / 32))
  })

  it("compares the distributions of a teacher and a student over 152,000 words without reading a logit", async () => {
    const objective = Distillation.generalizedJsd({ beta: 0.5 })
    const teacher = Pretrain.make({ text: Source.text(Source.tales({ count: 64 })) }, {
      family: "tales",
      model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 65_536 },
      steps: 2,
      batchSize: 2,
      learningRate: 1e-3,
      seed: 1
    })
    const how = { objective, batchSize: 128, maxNewTokens: 2048 }
    for (
      const  of of[
        Distill.make({ student: base, teacher, prompts }, { ...how, learningRate: 1e-5 }),
          capped(OnPolicyDistill.make({ student: base, teacher, prompts, held }, { ...training, ...how, steps: 100 }))
      ]
    ) {
      const { calls } = await planned(of, { vocab: 152_000 })
      assert.isBelow(calls, 200_000)
    }
  })

  it("is divided among devices, in memory and in time", async () => {
    const root = grpo(8, 512)
    const [one, eight, apart] = await Promise.all(
      [{ count: 1 }, { count: 8 }, { count: 8, sampling: 2 }].map((devices) => planned(root, { devices }))
    ) as [Awaited<ReturnType<typeof planned>>, Awaited<ReturnType<typeof planned>>, Awaited<ReturnType<typeof planned>>]
    const share = (of: StagePlan, phase: string, term: string) =>
      of.phases.find((one) => one.phase === phase)!.terms.find(({ what }) => what === term)!.bytes
    for (const term of ["weights", "gradients", "optimizer"]) {
      const [all, own] = [one, eight].map(({ stage }) => share(stage, "update", term)) as [number, number]
      assert.approximately(own * 8 / all, 1, 1e-5, term)
    }
    assert.strictEqual(share(eight.stage, "update", "logits"), share(one.stage, "update", "logits"))
    one.stage.phases.forEach(({ phase, seconds }, i) => {
      assert.approximately(8 * eight.stage.phases[i]!.seconds!, seconds!, 1e-9 * seconds!, phase)
      const busy = ["generation", "measure"].includes(phase) ? 2 : 6
      assert.approximately(busy * apart.stage.phases[i]!.seconds!, seconds!, 1e-9 * seconds!, phase)
    })
  })

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
