/**
 * Rejection sampling, with the control that shows whether the reward model did anything: six answers to each prompt, the best one of
 * each, and one at random; the same model fine-tuned on either.
 *
 *     npx keel run examples/09-rejection-sampling.ts
 *
 * Ends with (seed 0, native backend):
 *
 *     | base     | 0.68 ± 0.10 | -0.68 ± 0.05 | 16.07 ± 0.36 | 12.71 | 100 % |
 *     | sft      | 2.68 ± 0.08 | 0.62 ± 0.04  | 0.00 ± 0.00  | 31.71 | 100 % |
 *     | control  | 2.64 ± 0.09 | 0.60 ± 0.04  | 0.07 ± 0.03  | 31.88 | 99 %  |
 *     | selected | 2.87 ± 0.08 | 0.96 ± 0.03  | 0.66 ± 0.08  | 36.02 | 99 %  |
 *
 *     Gold, selected − sft: +0.19 ± 0.09 on the same 256 prompts (2.2 standard errors).
 */
import {
  Compare,
  Evaluate,
  Gold,
  Pipeline,
  Pretrain,
  RejectionSampling,
  RewardModeling,
  Select,
  Sft,
  Source
} from "../dsl/index.ts"

const gold = Gold.tales
const maxNewTokens = 56
const prompts = Source.prompts(Source.tales({ split: "train", count: 3000 }))
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
const reward = RewardModeling.make({
  init: base,
  preferences: Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })
}, { epochs: 2, batchSize: 32, learningRate: 6e-3, schedule: "cosine", warmupSteps: 20, maxGradNorm: 0.3 })

const { control, selected } = RejectionSampling.make({ policy: sft, prompts, reward }, {
  completionsPerPrompt: 6,
  temperature: 1,
  maxNewTokens,
  rule: Select.perPrompt()
})
const tuned = { epochs: 2, batchSize: 32, learningRate: 1e-3, schedule: "cosine" } as const

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  {
    base,
    sft,
    control: Sft.make({ base: sft, demonstrations: control }, tuned),
    selected: Sft.make({ base: sft, demonstrations: selected }, tuned)
  },
  { gold, maxNewTokens }
))
