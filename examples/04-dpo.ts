/**
 * Direct alignment: a tiny base model, demonstrations, comparisons of its own answers, then DPO and its length-normalised form on
 * the same pairs, each within a KL cap. No reward model, and no sampling while it trains.
 *
 *     npx keel run examples/04-dpo.ts
 */
import { Compare, Dpo, Evaluate, Gold, Kl, Pipeline, PreferenceLoss, Pretrain, Sft, Source } from "../dsl/index.ts"

const gold = Gold.tales
const maxNewTokens = 56
const prompts = Source.prompts(Source.tales({ split: "train", count: 2000 }))
const held = Source.prompts(Source.tales({ split: "held", count: 256 }))

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 6000 })) }, {
  family: "tales",
  model: { dim: 64, layers: 2, heads: 2, kvHeads: 2, ffn: 172, context: 96 },
  steps: 2000,
  batchSize: 16,
  learningRate: 2e-2,
  schedule: "cosine",
  warmupSteps: 30,
  checkpointEvery: 300
})

const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 3000 })) }, {
  epochs: 2,
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine"
})

const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })

const aligned = (loss: PreferenceLoss.Loss<true>) =>
  Pipeline.cap(
    Dpo.make({ init: sft, reference: sft, preferences, held }, {
      loss,
      allowance: Kl.mnatsPerSequence(12_000),
      batchSize: 64,
      learningRate: 3e-4,
      schedule: "linear",
      warmupSteps: 8,
      measureEvery: 40,
      maxNewTokens
    }),
    { kl: Kl.mnatsPerSequence(12_000), from: sft }
  )

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, dpo: aligned(PreferenceLoss.dpo()), dpoNorm: aligned(PreferenceLoss.dpoNorm()) },
  { gold, maxNewTokens }
))
