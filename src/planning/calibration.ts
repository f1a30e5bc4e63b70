/** The pipeline that `calibrate` runs: every kind of stage, on models of two sizes. Its results do not matter. */
import {
  Compare,
  Distill,
  Distillation,
  Dpo,
  Evaluate,
  Gold,
  Kl,
  OnPolicyDistill,
  Pipeline,
  Ppo,
  PreferenceLoss,
  Pretrain,
  RewardModeling,
  Sft,
  Source
} from "../../dsl/index.ts"

const gold = Gold.tales
const maxNewTokens = 40

export interface Size {
  readonly model: {
    readonly dim: number
    readonly layers: number
    readonly heads: number
    readonly kvHeads: number
    readonly ffn: number
  }
  readonly steps: number
  readonly prompts: number
  readonly rlSteps: number
}

export const sizes: Readonly<Record<"small" | "large", Size>> = {
  small: { model: { dim: 48, layers: 2, heads: 3, kvHeads: 3, ffn: 128 }, steps: 80, prompts: 120, rlSteps: 6 },
  large: { model: { dim: 160, layers: 3, heads: 5, kvHeads: 5, ffn: 432 }, steps: 20, prompts: 48, rlSteps: 2 }
}

export const calibration = ({ model, prompts: count, rlSteps, steps }: Size, precision: "f32" | "bf16" = "f32") => {
  const prompts = Source.prompts(Source.tales({ split: "train", count }))
  const held = Source.prompts(Source.tales({ split: "held", count: 32 }))
  const base = Pretrain.make({ text: Source.text(Source.tales({ count: 1000 })) }, {
    family: "calibration",
    model: { ...model, context: 96 },
    steps,
    batchSize: 16,
    precision,
    learningRate: 1e-2,
    checkpointEvery: Math.ceil(steps / 3)
  })
  const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4 * count })) }, {
    batchSize: 32,
    precision,
    learningRate: 1e-3
  })
  const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })
  const reward = RewardModeling.make({ init: base, preferences }, { batchSize: 32, precision, learningRate: 1e-3 })
  const kl = Kl.mnatsPerSequence(1_000_000)
  const on = { allowance: kl, precision, learningRate: 1e-4, maxNewTokens, measureEvery: rlSteps }
  const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
    ...on,
    beta: 0.1,
    steps: rlSteps,
    batchSize: 48,
    numMiniBatches: 2
  })
  const ppo = Pipeline.cap(rl, { kl, from: sft })
  const preferring = Dpo.make({ init: sft, reference: sft, preferences, held }, {
    ...on,
    loss: PreferenceLoss.dpo(),
    batchSize: 32
  })
  const dpo = Pipeline.cap(preferring, { kl, from: sft })
  const student = OnPolicyDistill.make({ student: sft, teacher: sft, prompts, held }, {
    ...on,
    objective: Distillation.generalizedJsd({ beta: 1 }),
    steps: rlSteps,
    batchSize: 16
  })
  const distilled = Pipeline.cap(student, { kl, from: sft })
  // Other sizes than on policy, and small products of adapters, separate the cost of a call from the cost of its rows.
  const taught = Distill.make({ student: sft, teacher: sft, prompts }, {
    objective: Distillation.wordLevel,
    precision,
    batchSize: 4,
    learningRate: 1e-4,
    lora: { rank: 4, alpha: 8, targetModules: ["q_proj", "v_proj"] },
    maxNewTokens
  })
  return Evaluate.make(
    { initial: sft, reward, prompts: held },
    { ppo, dpo, distilled, taught },
    { gold, maxNewTokens }
  )
}
