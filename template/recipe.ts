/**
 * A model that answers the questions of a shop: a tiny base model from `data/text.txt`, then your demonstrations, then DPO on your
 * preference pairs, within a KL cap.
 *
 *     npx keel run recipe.ts
 *
 * To start from a real model, replace `base` by a folder in Hugging Face's layout (Llama, Mistral, Qwen2, Qwen3; safetensors):
 * `Checkpoint.huggingFace("qwen3-0.6b", "path/to/folder")`, with a learning rate of about 1e-5.
 */
import { Dpo, Evaluate, Gold, Kl, Pipeline, PreferenceLoss, Pretrain, Sft, Source } from "keel"
import { reward } from "keel/stage"

const maxNewTokens = 24

/** The last 16 of the 96 prompts are held out: KL is measured on them, and the models are compared on them. */
const pairs = Source.preferences(Source.file("data/pairs.jsonl", { limit: 80 }))
const held = Source.prompts(Source.file("data/pairs.jsonl", { offset: 80 }))

export const base = Pretrain.make({ text: Source.text(Source.file("data/text.txt")) }, {
  family: "shop",
  model: { dim: 64, layers: 2, heads: 2, kvHeads: 2, ffn: 128, context: 64 },
  steps: 600,
  batchSize: 16,
  learningRate: 5e-3,
  schedule: "cosine",
  warmupSteps: 20
})

export const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.file("data/demonstrations.jsonl")) }, {
  epochs: 2,
  batchSize: 16,
  learningRate: 2e-3,
  schedule: "cosine"
})

/**
 * DPO from `sft`. `beta` is how hard it is held to `sft`; `allowance` is how far it may move, in thousandths of a nat of KL for each
 * answer. `nll` adds the likelihood of the chosen answer, which keeps DPO from making both answers unlikely.
 */
export const aligned = (beta: number, allowance: number) =>
  Dpo.make({ init: sft, reference: sft, preferences: pairs, held }, {
    loss: PreferenceLoss.dpo({ beta, nll: 1 }),
    allowance: Kl.mnatsPerSequence(allowance),
    epochs: 4,
    batchSize: 16,
    learningRate: 2e-4,
    measureEvery: 5,
    maxNewTokens
  })

/** The distance from `sft` may not exceed 8 nats: where it does, training ends with the last checkpoint within. */
export const dpo = Pipeline.cap(aligned(0.1, 8_000), {
  kl: Kl.mnatsPerSequence(8_000),
  from: sft,
  whenSpent: "rollback"
})

/** How good an answer is, by your own code: half a point for thanks, half for the thing asked about. It judges, and trains nothing. */
export const friendly = reward("Friendly", (prompt, completion) => {
  const thing = /\bthe (\w+)/u.exec(prompt)?.[1]
  return (completion.includes("thank you") ? 0.5 : 0) + (thing !== undefined && completion.includes(thing) ? 0.5 : 0)
})

/** From here keel takes your own rewards. */
export const rewards = [friendly]

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, prompts: held }, { base, sft, dpo }, { gold: Gold.own("Friendly"), maxNewTokens })
)
