/**
 * Whole post-training steps on a model of the shape of stories260K, against the trainers of TRL: the same rows, the same forward
 * passes including the reference's, the same update. There are no stages here: the additions of a stage (data, budgets,
 * reports) costs nothing that could be measured, and GRPO has none here.
 */
import { type Batch, type Engine, offsetsOf, type Policy, type Update, type Weights } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { dpo as dpoLoss } from "../losses/dpo.ts"
import { sumRows } from "../losses/ragged.ts"
import { modelConfig } from "../model/config.ts"
import { stream } from "../sampling/random.ts"
import type { Bench, Case } from "./cases.ts"
import { asBatch, sequences, textOf } from "./models.ts"

/** Hugging Face's defaults for AdamW and clipping; at this rate a few steps show in the loss. */
export const trlUpdate: Update = {
  learningRate: 1e-4,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1
}

/** A step and its loss. */
export interface Step {
  readonly step: () => number
  readonly dispose: () => void
}

/** A trainer's step, on any engine and as the request that opens it on the other side. */
export interface PostTraining {
  readonly name: "sft" | "dpo" | "grpo"
  readonly title: string
  readonly tokens: number
  readonly open: (engine: Engine, weights: Weights) => Step
  readonly request: Readonly<Record<string, unknown>>
}

const beta = { dpo: 0.1, grpo: 0.04 } as const
/** TRL's default, of `beta.dpo`. */
const sigmoid = {
  beta: beta.dpo,
  reference: true,
  per: "sequence",
  terms: [{ weight: 1, form: { _tag: "Logistic", labelSmoothing: 0, margin: 0 } }],
  nll: 0
} as const
const bos = 1
const eos = 2

const learn = (policy: Policy, gradient: Float64Array): void => {
  policy.backward(gradient)
  policy.step(trlUpdate)
}

const sft = (vocab: number): PostTraining => {
  const [rows, length, batches] = [16, 256, 8]
  const data = sequences(rows * batches, () => length, vocab, "bench/sft")
  return {
    name: "sft",
    title: "SFT step 16 × 256",
    tokens: rows * length,
    open: (engine, weights) => {
      const policy = engine.policy(weights)
      let step = 0
      return {
        step: () => {
          const at = (step++ % batches) * rows
          const batch = asBatch(data.slice(at, at + rows))
          const denominator = offsetsOf(batch)[rows]!
          const { logps } = policy.learn(batch, (logps) => crossEntropy(logps, { denominator }).gradient)
          policy.step(trlUpdate)
          return crossEntropy(logps).loss
        },
        dispose: policy.dispose
      }
    },
    request: { trainer: "sft", batchSize: rows, rows: data.map((ids) => [...ids]) }
  }
}

const dpo = (vocab: number): PostTraining => {
  const [pairs, batches] = [8, 4]
  // Prompt 16 to 64, whole rows 96 to 256 tokens: as uneven as preferences are.
  const sizes = stream("bench/dpo/sizes")
  const data = Array.from({ length: pairs * batches }, (_, i) => {
    const prompt = 16 + sizes.int(49)
    const answer = () => 96 + sizes.int(161) - prompt
    const lengths = [prompt - 1, answer() - 1, answer() - 1]
    const [asked, chosen, rejected] = sequences(3, (j) => lengths[j]!, vocab, `bench/dpo/${i}`)
    return { asked: asked!, chosen: chosen!, rejected: rejected! }
  })
  const batch = (step: number): Batch => {
    const at = (step % batches) * pairs
    const part = data.slice(at, at + pairs)
    return [
      ...part.map(({ asked, chosen }) => [asked, chosen]),
      ...part.map(({ asked, rejected }) => [asked, rejected])
    ]
      .map(([prompt, completion]) => ({
        prompt: Int32Array.of(bos, ...prompt!),
        completion: Int32Array.of(...completion!, eos)
      }))
  }
  const tokens = Array.from({ length: batches }, (_, i) => batch(i)).flat()
    .reduce((sum, { completion, prompt }) => sum + prompt.length + completion.length, 0)
  return {
    name: "dpo",
    title: "DPO step 8 pairs ≤ 256",
    tokens: tokens / batches,
    open: (engine, weights) => {
      const [policy, reference] = [engine.policy(weights), engine.policy(weights)]
      let step = 0
      return {
        step: () => {
          const rows = batch(step++)
          const before = reference.logprobs(rows)
          const { logps, offsets } = policy.logprobs(rows, { retain: true })
          const { gradient, loss } = dpoLoss(logps, sumRows(before.logps, offsets), offsets, sigmoid)
          learn(policy, gradient)
          return loss
        },
        dispose: () => {
          policy.dispose()
          reference.dispose()
        }
      }
    },
    request: {
      trainer: "dpo",
      batchSize: pairs,
      beta: beta.dpo,
      rows: data.map(({ asked, chosen, rejected }) => ({
        prompt: textOf(asked),
        chosen: ` ${textOf(chosen)}`,
        rejected: ` ${textOf(rejected)}`
      }))
    }
  }
}

const grpo = (vocab: number): PostTraining => {
  const [samples, group, newTokens] = [32, 8, 64]
  const prompts = sequences(16, (i) => 12 + (i * 5) % 17, vocab, "bench/grpo")
  const distinct = samples / group
  return {
    name: "grpo",
    title: "GRPO step 32 × 64, groups of 8",
    tokens: samples * newTokens,
    open: (engine, weights) => {
      const [policy, reference] = [engine.policy(weights), engine.policy(weights)]
      let step = 0
      return {
        step: () => {
          const asked = Array.from({ length: samples }, (_, i) => {
            const prompt = prompts[(step * distinct + Math.floor(i / group)) % prompts.length]!
            return Int32Array.of(bos, ...prompt)
          })
          const sampling = { maxNewTokens: newTokens, temperature: 1, topK: 0, topP: 1, stop: [] }
          const rows = policy.sample(asked, sampling, asked.map((_, i) => `bench/${step}/${i}`))
            .map(({ completion }, i) => ({ prompt: asked[i]!, completion }))
          step++
          const rewards = rows.map(({ completion }) => completion.reduce((sum, id) => sum + id, 0) % 7)
          const before = reference.logprobs(rows)
          const { logps, offsets } = policy.logprobs(rows, { retain: true })
          // With one update a batch the ratio to the sampler is 1, so the gradient of the surrogate is −A; TRL does the same.
          const gradient = new Float64Array(logps.length)
          let loss = 0
          for (let g = 0; g < distinct; g++) {
            const of = rewards.slice(g * group, (g + 1) * group)
            const mean = of.reduce((sum, r) => sum + r, 0) / group
            const deviation = Math.sqrt(of.reduce((sum, r) => sum + (r - mean) ** 2, 0) / (group - 1))
            of.forEach((reward, j) => {
              const advantage = (reward - mean) / (deviation + 1e-4)
              const row = g * group + j
              for (let t = offsets[row]!; t < offsets[row + 1]!; t++) {
                // k3 of Schulman 2020: e^(ref − π) − 1 − (ref − π).
                const d = before.logps[t]! - logps[t]!
                loss += (beta.grpo * (Math.expm1(d) - d) - advantage) / logps.length
                gradient[t] = (-advantage - beta.grpo * Math.expm1(d)) / logps.length
              }
            })
          }
          learn(policy, gradient)
          return loss
        },
        dispose: () => {
          policy.dispose()
          reference.dispose()
        }
      }
    },
    request: {
      trainer: "grpo",
      batchSize: samples,
      group,
      newTokens,
      beta: beta.grpo,
      rows: prompts.map((ids) => ({ prompt: textOf(ids) }))
    }
  }
}

/** The three trainers on a model with these weights. */
export const postTraining = (weights: Weights): ReadonlyArray<PostTraining> => {
  const { vocab } = modelConfig(weights.config)
  return [sft(vocab), dpo(vocab), grpo(vocab)]
}

export const trlCase = (one: PostTraining, weights: Weights): Case => ({
  name: one.name,
  title: one.title,
  peer: "trl",
  show: "ms",
  amount: one.tokens,
  flops: null,
  heavy: true,
  open: ({ engine }: Bench) => one.open(engine, weights).step,
  request: { do: "step", trainer: one.name }
})
