/**
 * Whole post-training steps on a model of the shape of stories260K, against the trainers of TRL: the same rows, the same forward
 * passes including the reference's, the same update. There are no stages here: the additions of a stage (data, budgets,
 * reports) cost nothing that could be measured.
 */
import type { Batch, Engine, Policy, Update, Weights } from "../engine/engine.ts"
import { tokenAdvantages } from "../losses/advantages.ts"
import { dpo as dpoLoss } from "../losses/dpo.ts"
import type { Loss } from "../losses/loss.ts"
import { policyGradient } from "../losses/policyGradient.ts"
import { sumRows } from "../losses/ragged.ts"
import { modelConfig } from "../model/config.ts"
import { stream } from "../sampling/random.ts"
import { type Case, trainStep } from "./cases.ts"
import { sequences, textOf } from "./models.ts"

/** Hugging Face's defaults for AdamW and clipping; at this rate a few steps show in the loss. */
export const trlUpdate: Update = {
  learningRate: 1e-4,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1
}

/** A step that returns its loss. */
export interface BenchStep {
  readonly step: () => number
  readonly dispose: () => void
}

/** A trainer's step, on any engine and as the request that opens it on the other side. */
export interface PostTraining {
  readonly name: "sft" | "dpo" | "grpo"
  readonly title: string
  readonly tokens: number
  readonly open: (engine: Engine, weights: Weights) => BenchStep
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
/** TRL's defaults for GRPO. */
const standardised = { _tag: "GroupStd", ddof: 1, epsilon: 1e-4 } as const
const surrogate = {
  objective: { _tag: "Ratio", level: "token", clip: { _tag: "Clipped", low: 0.2, high: 0.2 } },
  aggregation: { _tag: "TokenMean" },
  kl: { _tag: "KlInLoss", estimator: "k3" }
} as const
const bos = 1
const eos = 2

/** Steps of a policy beside its reference; `gradientOf` retains the passes of the policy. */
const beside = (
  engine: Engine,
  weights: Weights,
  gradientOf: (policy: Policy, reference: Policy, step: number) => Loss
): BenchStep => {
  const [policy, reference] = [engine.policy(weights), engine.policy(weights)]
  let step = 0
  return {
    step: () => {
      const { gradient, loss } = gradientOf(policy, reference, step++)
      policy.backward(gradient)
      policy.step(trlUpdate)
      return loss
    },
    dispose: () => {
      policy.dispose()
      reference.dispose()
    }
  }
}

const sft = (vocab: number): PostTraining => {
  const [rows, length] = [16, 256]
  const data = sequences(rows * 8, () => length, vocab, "bench/sft")
  const batches = Array.from({ length: 8 }, (_, i) => data.slice(i * rows, (i + 1) * rows))
  return {
    name: "sft",
    title: "SFT step 16 × 256",
    tokens: rows * length,
    open: (engine, weights) => {
      const policy = engine.policy(weights)
      let step = 0
      return { step: () => trainStep(policy, { batches, update: trlUpdate }, step++), dispose: policy.dispose }
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
    open: (engine, weights) =>
      beside(engine, weights, (policy, reference, step) => {
        const rows = batch(step)
        const before = reference.logprobs(rows)
        const { logps, offsets } = policy.logprobs(rows, { retain: true })
        return dpoLoss(logps, sumRows(before.logps, offsets), offsets, sigmoid)
      }),
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
    open: (engine, weights) =>
      beside(engine, weights, (policy, reference, step) => {
        const asked = Array.from({ length: samples }, (_, i) => {
          const prompt = prompts[(step * distinct + Math.floor(i / group)) % prompts.length]!
          return Int32Array.of(bos, ...prompt)
        })
        const sampling = { maxNewTokens: newTokens, temperature: 1, topK: 0, topP: 1, stop: [] }
        const rows = policy.sample(asked, sampling, asked.map((_, i) => `bench/${step}/${i}`))
          .map(({ completion }, i) => ({ prompt: asked[i]!, completion }))
        const scores = Float64Array.from(rows, ({ completion }) => completion.reduce((sum, id) => sum + id, 0) % 7)
        const refLogps = reference.logprobs(rows).logps
        const { logps, offsets } = policy.logprobs(rows, { retain: true })
        const rewarded = { scores, logps, refLogps: null, offsets }
        const { advantages } = tokenAdvantages(standardised, rewarded, { beta: 0, groupSize: group })
        // With one update a batch the sampler is the policy itself: the ratio is 1, as in TRL.
        return policyGradient({ logps, oldLogps: logps, refLogps, advantages, offsets }, surrogate, { beta: beta.grpo })
      }),
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
  open: ({ engine }) => one.open(engine, weights).step,
  request: { do: "step", trainer: one.name }
})
