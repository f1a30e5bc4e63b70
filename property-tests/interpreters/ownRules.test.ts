/** A stage from outside is judged like Keel's, in every field that it shares with them. */
import type * as Schema from "effect/Schema"
import { assert, describe, expect, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { Compare, Gold, Grpo, Kl, Pipeline, Pretrain, RewardModeling, Sft, Source } from "../../dsl/index.ts"
import { klSpending } from "../../dsl/KlSpending.ts"
import { training } from "../../dsl/Training.ts"
import { make } from "../../examples/13-own-stage.ts"
import { problems } from "../../src/interpreters/check.ts"

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 100 })) }, {
  family: "tales",
  model: { dim: 32, layers: 1, heads: 2, kvHeads: 1, ffn: 64, context: 96 },
  steps: 3,
  batchSize: 16,
  learningRate: 1e-2
})
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 40 })) }, {
  batchSize: 16,
  learningRate: 3e-3
})
const prompts = Source.prompts(Source.tales({ count: 20 }))
const held = Source.prompts(Source.tales({ split: "held", count: 20 }))
const preferences = Compare.make({ policy: sft, prompts }, { gold: Gold.tales, maxNewTokens: 4 })
const reward = RewardModeling.make({ init: sft, preferences }, { batchSize: 4, learningRate: 1e-3 })
const given = {
  allowance: Kl.mnatsPerSequence(100),
  steps: 4,
  batchSize: 4,
  groupSize: 2,
  learningRate: 1e-3,
  maxNewTokens: 8
}
const own = make({ init: sft, reward, prompts, held }, { ...given, beta: 1 })
const grpo = Grpo.make({ init: sft, reward, prompts, held }, { ...given, beta: 0 })

/** What is said of a stage with these parameters besides its own. */
const said = (stage: Artifact.Any, params: object) => {
  const root = Artifact.make({ ...stage.node, params: { ...stage.node.params as object, ...params } as Schema.Json })
  const capped = Pipeline.cap(root as typeof grpo, { kl: Kl.mnatsPerSequence<number>(1e12), from: sft })
  return problems(capped).map(({ problem, stage }) =>
    `${stage.split("-")[0]}: ${problem}`.replace(/^(?:rwr|grpo): /u, "")
  )
}

/** Values that are wrong, by the field. */
const wrong: Readonly<Record<keyof typeof training | keyof typeof klSpending, ReadonlyArray<unknown>>> = {
  learningRate: [0, "1e-3", 1e5],
  schedule: ["steep"],
  warmupSteps: [-1, 5],
  warmupRatio: [-0.1, 1.1],
  warmupFrom: [2, 0.1],
  minLearningRateRatio: [1.5, 0.1],
  minLearningRate: [-1, 1e-4],
  adamBeta1: [1],
  adamBeta2: [1],
  adamEpsilon: [0],
  weightDecay: [-1],
  maxGradNorm: [0],
  checkpointEvery: [0],
  precision: ["f8"],
  recompute: ["yes"],
  lora: [{ rank: 5000, alpha: 1, targetModules: ["q_proj"] }, { rank: 1, alpha: 1, targetModules: [] }],
  seed: [-1],
  allowance: [
    { ...Kl.mnatsPerToken(5) },
    { ...Kl.mnatsPerSequence(5, { direction: "forward" }) },
    { ...Kl.mnatsPerSequence(5), mnats: -1 }
  ],
  maxNewTokens: [0, 1000],
  measureEvery: [0],
  measureSamples: [1],
  measureError: [0],
  measureMost: [0],
  observe: [{}]
}

describe("a stage from outside is judged like GRPO", () => {
  it("when nothing is wrong", () => {
    assert.deepStrictEqual(said(own, {}), [])
    assert.deepStrictEqual(said(grpo, {}), [])
  })

  it.each(Object.entries(wrong))("when %s is wrong", (field, values) => {
    for (const value of values) {
      const found = said(own, { [field]: value })
      assert.isNotEmpty(found, JSON.stringify(value))
      assert.deepStrictEqual(found, said(grpo, { [field]: value }))
    }
  })

  it("by the words that GRPO hears", () => {
    expect(
      said(own, { learningRate: 1e5, warmupSteps: 1000, lora: { rank: 5000, alpha: 1, targetModules: ["q_proj"] } })
    )
      .toEqual([
        "learningRate 100000 is above 10, and AdamW moves every weight by about as much in a step: was 1e-5 meant?",
        "warmupSteps 1000 is more than steps 4",
        "lora.rank 5000 is larger than the smaller dimension of q_proj, 32"
      ])
  })
})
