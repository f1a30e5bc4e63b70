/**
 * On-policy preference pairs (Tülu 3's rule) from curated prompts: prompts of two sources are mixed, split, deduplicated and
 * decontaminated against the held-out ones; two policies answer them; a reward model scores the answers; the best and a random
 * lower one of each prompt make a pair, and DPO learns from them.
 *
 *     npx keel simulate examples/15-on-policy-pairs.ts
 */
import {
  Compare,
  Decontaminate,
  Deduplicate,
  Dpo,
  Evaluate,
  Filter,
  Gold,
  Kl,
  Mix,
  Pair,
  Pipeline,
  PreferenceLoss,
  Pretrain,
  RewardModeling,
  Sample,
  Score,
  Sft,
  Source,
  Split
} from "../dsl/index.ts"

const gold = Gold.tales
const maxNewTokens = 56
const held = Source.prompts(Source.tales({ split: "held", count: 256 }))

const pool = Mix.make({
  some: Source.prompts(Source.tales({ split: "train", count: 1500 })),
  more: Source.prompts(Source.tales({ split: "train", count: 1500, seed: 1 }))
})
const clean = Decontaminate.make({ of: Deduplicate.make({ of: pool }, { by: "prompt" }), against: held }, { ngram: 13 })
const [compared, answered] = Split.make({ of: clean }, { fraction: 0.5 })

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
const demonstrations = Filter.make({ of: Source.demonstrations(Source.tales({ count: 3000 })) }, { maxWords: 60 })
const sft = Sft.make({ base, demonstrations }, { epochs: 2, batchSize: 32, learningRate: 3e-3, schedule: "cosine" })
const longer = Sft.make({ base, demonstrations }, { epochs: 3, batchSize: 32, learningRate: 3e-3, schedule: "cosine" })

const reward = RewardModeling.make({
  init: sft,
  preferences: Compare.make({ policy: sft, prompts: compared }, { gold, completionsPerPrompt: 3, maxNewTokens })
}, { batchSize: 32, learningRate: 1e-3 })

const candidates = Mix.make({
  own: Sample.make({ policy: sft, prompts: answered }, { completionsPerPrompt: 6, maxNewTokens }),
  others: Sample.make({ policy: longer, prompts: answered }, { completionsPerPrompt: 4, maxNewTokens })
})
const scored = Score.byReward({ completions: candidates, reward })

const aligned = Pipeline.cap(
  Dpo.make({ init: sft, reference: sft, preferences: Pair.make({ completions: scored }), held }, {
    loss: PreferenceLoss.dpoNorm(),
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
  { initial: sft, reward, prompts: held },
  { sft, dpo: aligned },
  { gold, maxNewTokens }
))
