/**
 * InstructGPT end to end from nothing: a tiny base model, demonstrations, comparisons, a reward model, PPO within a KL cap.
 *
 *     npm start            # the same as: npx keel run examples/01-instruct-gpt.ts
 *
 * The toy task is "tales": write a short story about the person and the thing that a prompt names. Other examples import `base`,
 * `sft` and the data from this file. The store keeps a finished stage, so `base` and `sft` are trained once for all of them.
 */
import { Compare, Evaluate, Gold, Kl, Pipeline, Ppo, Pretrain, RewardModeling, Sft, Source } from "../dsl/index.ts"

export const gold = Gold.tales
export const maxNewTokens = 56
export const text = Source.text(Source.tales({ count: 6000 }))
export const demonstrations = Source.demonstrations(Source.tales({ count: 3000 }))
export const prompts = Source.prompts(Source.tales({ split: "train", count: 3000 }))
export const held = Source.prompts(Source.tales({ split: "held", count: 256 }))

export const base = Pretrain.make({ text }, {
  family: "tales",
  model: { dim: 64, layers: 2, heads: 2, kvHeads: 2, ffn: 172, context: 96 },
  steps: 2000,
  batchSize: 16,
  learningRate: 2e-2,
  schedule: "cosine",
  warmupSteps: 30,
  checkpointEvery: 300
})

export const sft = Sft.make({ base, demonstrations }, {
  epochs: 2,
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine"
})

export const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })

export const reward = RewardModeling.make({ init: base, preferences }, {
  epochs: 2,
  batchSize: 32,
  learningRate: 6e-3,
  schedule: "cosine",
  warmupSteps: 20,
  maxGradNorm: 0.3
})

const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(6_000),
  beta: 0.08,
  steps: 60,
  batchSize: 64,
  numMiniBatches: 2,
  numPpoEpochs: 2,
  learningRate: 1e-3,
  vfCoef: 1,
  missingEosPenalty: 1,
  measureEvery: 10,
  maxNewTokens
})

const policy = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(6_000), from: sft })

export default Pipeline.runnable(Evaluate.make(
  {
    initial: sft,
    reward,
    prompts: held,
    preferences: Compare.make({ policy: sft, prompts: held }, { gold, maxNewTokens })
  },
  { base, sft, ppo: policy },
  { gold, maxNewTokens }
))
