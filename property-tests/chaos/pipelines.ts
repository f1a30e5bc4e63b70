/** Two pipelines that together have every stage that takes time, each a second or two. */
import {
  BestOfN,
  Compare,
  Distill,
  Distillation,
  Dpo,
  Evaluate,
  Gold,
  Grpo,
  Kl,
  Kto,
  Lora,
  Merge,
  MergeMethod,
  OnPolicyDistill,
  Pair,
  Pipeline,
  Ppo,
  PreferenceLoss,
  Pretrain,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"

const gold = Gold.tales
const maxNewTokens = 8
const prompts = Source.prompts(Source.tales({ split: "train", count: 48 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 120 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
  steps: 12,
  batchSize: 8,
  learningRate: 1e-2,
  checkpointEvery: 3
})
const tuned = { batchSize: 8, learningRate: 3e-3, checkpointEvery: 2 }
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 48 })) }, tuned)
const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 2, maxNewTokens })
const reward = RewardModeling.make({ init: base, preferences }, tuned)
const allowance = Kl.mnatsPerSequence(30_000)
const measuring = { allowance, maxNewTokens, measureEvery: 2, measureSamples: 16 }
const lora = { rank: 2, alpha: 4, targetModules: Lora.allLinear }

const ppo = Pipeline.cap(
  Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
    ...tuned,
    ...measuring,
    beta: 0.05,
    steps: 6,
    numPpoEpochs: 1,
    lora
  }),
  { kl: Kl.mnatsPerSequence(30_000), from: sft, whenSpent: "rollback" }
)
const dpo = Pipeline.cap(
  Dpo.make({ init: sft, reference: sft, preferences, held }, { ...tuned, ...measuring, loss: PreferenceLoss.dpo() }),
  { kl: Kl.mnatsPerSequence(30_000), from: sft, whenSpent: "warn" }
)

const completions = Sample.make({ policy: sft, prompts }, {
  completionsPerPrompt: 2,
  maxNewTokens,
  batchSize: 8,
  checkpointEvery: 2
})
const scored = Score.byReward({ completions, reward: RewardModeling.make({ init: base, preferences: pairs() }, tuned) })
function pairs() {
  return Pair.make({ completions: Score.byJudge({ completions }, { gold }) })
}
const cap = { kl: Kl.mnatsPerSequence(30_000), from: sft } as const
const grpo = Pipeline.cap(
  Grpo.make({ init: sft, reference: sft, prompts, held }, {
    ...tuned,
    ...measuring,
    beta: 0.05,
    steps: 4,
    batchSize: 4,
    groupSize: 2,
    verifiers: [Verifier.keywords()]
  }),
  cap
)
const kto = Pipeline.cap(
  Kto.make({ init: sft, reference: sft, preferences: pairs(), held }, { ...tuned, ...measuring }),
  cap
)
const distilled = Distill.make({ student: base, teacher: sft, prompts }, {
  ...tuned,
  objective: Distillation.generalizedJsd({ beta: 0.5 }),
  maxNewTokens
})
const onPolicy = Pipeline.cap(
  OnPolicyDistill.make({ student: sft, teacher: sft, prompts, held }, {
    ...tuned,
    ...measuring,
    objective: Distillation.reverseKl(),
    steps: 4
  }),
  cap
)
const rejection = Sft.make({
  base: sft,
  demonstrations: Select.make({ completions: scored }, { rule: Select.overall(16) })
}, tuned)
const merged = Pipeline.cap(
  Merge.make({ held }, { grpo, kto }, { maxNewTokens, measureSamples: 16, method: MergeMethod.uniformSoup }),
  cap
)

export const pipelines = {
  alignment: Evaluate.make({ initial: sft, reward, prompts: held }, { base, sft, ppo, dpo }, { gold, maxNewTokens }),
  sampling: Evaluate.make({ initial: sft, prompts: held }, { merged, distilled, onPolicy, rejection }, {
    gold,
    maxNewTokens
  }),
  bestOfN: BestOfN.make({ completions: scored }, { gold, sizes: [1, 2] })
}
