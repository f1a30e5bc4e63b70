/**
 * A small student learns from a larger teacher: word-level distillation on the teacher's answers first, then reverse KL on its own
 * (generalised knowledge distillation), within a KL cap.
 *
 *     npx keel run examples/07-distill.ts
 *
 * Ends with (seed 0, native backend; gold reward, KL from the teacher, length, finished):
 *
 *     | small   | -0.36 ± 0.08 | 28.08 ± 0.92                       | 17.08  | 100 %    |
 *     | student | 0.88 ± 0.09  | 10.51 ± 0.56                       | 31.54  | 98 %     |
 *     | online  | 1.79 ± 0.08  | 7.06 ± 0.41                        | 32.51  | 100 %    |
 *
 *     Gold, online − student: +0.92 ± 0.10 on the same 256 prompts (8.8 standard errors).
 */
import { Distill, Distillation, Evaluate, Kl, OnPolicyDistill, Pipeline, Pretrain, Source } from "../dsl/index.ts"
import { gold, held, maxNewTokens, sft as teacher, text } from "./01-instruct-gpt.ts"

const prompts = Source.prompts(Source.tales({ split: "train", count: 1000 }))

// A quarter of the teacher's parameters, and the same tokenizer: it is made from the same text.
const small = Pretrain.make({ text }, {
  family: "tales",
  model: { dim: 32, layers: 1, heads: 2, kvHeads: 1, ffn: 86, context: 96 },
  steps: 600,
  batchSize: 16,
  learningRate: 2e-2,
  schedule: "cosine",
  warmupSteps: 30
})

const student = Distill.make({ student: small, teacher, prompts }, {
  objective: Distillation.wordLevel,
  completionsPerPrompt: 2,
  epochs: 2,
  batchSize: 32,
  learningRate: 1e-2,
  schedule: "cosine",
  maxNewTokens
})

const online = OnPolicyDistill.make({ student, teacher, prompts, held }, {
  objective: Distillation.generalizedJsd({ beta: 1 }),
  steps: 60,
  batchSize: 32,
  learningRate: 2e-3,
  measureEvery: 20,
  measureSamples: 128,
  maxNewTokens
})

const policy = Pipeline.cap(online, { kl: Kl.mnatsPerSequence(10_000), from: student })

/** KL is measured from the teacher: how far each student is from it. */
export default Pipeline.runnable(
  Evaluate.make({ initial: teacher, prompts: held }, { small, student, online: policy }, { gold, maxNewTokens })
)
