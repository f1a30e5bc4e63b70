/** What the golden files of the command line are about. */
import { Kl, Pipeline, Ppo, Pretrain, RewardModeling, Sft, Source } from "../../dsl/index.ts"

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 8 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
  steps: 2,
  batchSize: 2,
  learningRate: 1e-3
})
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4 })) }, {
  batchSize: 2,
  learningRate: 1e-3
})
const reward = RewardModeling.make({ init: sft, preferences: Source.preferences(Source.file("pairs.jsonl")) }, {
  batchSize: 2,
  learningRate: 1e-3
})
const rl = Ppo.make({
  init: sft,
  reference: sft,
  reward,
  value: reward,
  prompts: Source.prompts(Source.tales({ count: 4 })),
  held: Source.prompts(Source.tales({ split: "held", count: 4 }))
}, { allowance: Kl.mnatsPerSequence(500), beta: 0.1, steps: 2, batchSize: 2, learningRate: 1e-3, maxNewTokens: 4 })

export default Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(1000), from: sft })
