/**
 * A stage's view of a model: passes over a batch (`logprobs`, `divergences`, `values`, `learn`), `backward`, `step`,
 * `sample`, and its state to save and restore (`around.ts` has the list). A stage is written once against these verbs
 * and runs on any engine: `tabular` (a small finite world, all quantities exact) and `transformer` (the Llama family
 * over a `Backend`). A loss is a pure function of the result of a pass; its gradient goes back through `backward`.
 *
 * Everything here is synchronous and plain: Effect stops at the training step.
 */

import type { Packing, Precision } from "../tensor/backend.ts"
import type { LlamaShape } from "../model/init.ts"
import type { Adapter, Codec, TensorData, Tensors, Weights } from "../model/weights.ts"

export type { Adapter, Codec, Packing, Precision, TensorData, Tensors, Weights }

/** The size of a model's parallel work: memory against speed. Results differ only by the rounding of reordered sums. */
export interface MicroBatches {
  /**
   * Most tokens in one forward or backward pass. A larger batch is cut between sequences, and gradients add up; parts
   * but the last are computed a second time for it. A sequence longer than this is a part by itself.
   */
  readonly microBatchTokens?: number
  /** Most sequences sampled at the same time: each has its keys and values in the cache. Default: 64. */
  readonly slots?: number
}

/** How a model computes: no part of its identity, so no part of its weights. */
export interface Computing extends MicroBatches {
  /** Default: "f32". Throws when the engine does not offer it: see `Engine.precisions`. */
  readonly precision?: Precision
  /**
   * Keeps only each layer's input and computes the layer again in `backward`: activations take the memory of one layer
   * instead of all, for one more forward pass per step (Chen et al. 2016, arXiv 1604.06174). The gradients are the same
   * bit for bit.
   */
  readonly recompute?: boolean
  /** Trains adapters of low rank and leaves the weights unchanged; for trained models only. */
  readonly lora?: Lora
}

/** Low-rank adaptation: W + (α/r) B A with W frozen (Hu et al. 2021, arXiv 2106.09685). */
export interface Lora extends Omit<Adapter, "pairs" | "head"> {
  /** Seed of the random start of A; null in a plan, which draws no numbers. */
  readonly seed: string | null
}

/**
 * A prompt and a completion, as token ids. The *own* tokens of a row are the tokens of its completion that are not `given`: only they
 * have log-probabilities.
 */
export interface Row {
  readonly prompt: Int32Array
  readonly completion: Int32Array
  /** 1 for each completion token that an environment wrote, 0 for each of the policy's; left out where the policy wrote all. */
  readonly given?: Uint8Array
}

export type Batch = ReadonlyArray<Row>

/**
 * Per-token numbers of a batch, the rows one after the other (no padding): row i owns `offsets[i] … offsets[i + 1]`, one
 * number for each of its own tokens.
 */
export interface Logprobs {
  /** log π(token | prompt, earlier tokens), nats per token. */
  readonly logps: Float64Array
  /** Entropy of the next-token distribution at each of these positions, nats. */
  readonly entropies: Float64Array
  readonly offsets: Int32Array
}

/**
 * Per-position numbers of a scalar head: row i owns `offsets[i] … offsets[i + 1]`, one number *before* each own token (the
 * value of that state) and one after the row's last token (the score of the whole): own tokens + 1 in all.
 */
export interface Values {
  readonly values: Float64Array
  readonly offsets: Int32Array
}

/**
 * A number from the next-token distributions of two models, both given as log-probabilities over the whole vocabulary (nats, at
 * temperature 1). With a `gradient` [vocab], sets it to the derivative with respect to the student's logits. Pure.
 */
export type Divergence = (student: Float64Array, teacher: Float64Array, gradient: Float64Array | null) => number

/** One number for each own token: row i owns `offsets[i] … offsets[i + 1]`. */
export interface Divergences {
  readonly values: Float64Array
  readonly offsets: Int32Array
}

/** AdamW (Loshchilov and Hutter 2019) with the global gradient norm clipped first. */
export interface Update {
  readonly learningRate: number
  readonly betas: readonly [number, number]
  readonly eps: number
  readonly weightDecay: number
  /** Gradients with a larger L2 norm are scaled down to it; `Infinity` for no limit. */
  readonly maxGradNorm: number
}

export interface Sampling {
  readonly maxNewTokens: number
  /** 0 is greedy. */
  readonly temperature: number
  /** Keep the k most likely tokens; 0 for all. */
  readonly topK: number
  /** Keep the smallest set of tokens with at least this probability; 1 for all. */
  readonly topP: number
  /** A completion ends with the first of these tokens, which is part of it. */
  readonly stop: ReadonlyArray<number>
  /** Whether a completion ends with its tokens so far, besides `stop`; pure. Default: never. */
  readonly ends?: (tokens: Int32Array) => boolean
  /** Whether the prompts are episodes that have begun: no new prompts, when these are counted. */
  readonly goesOn?: boolean
}

export interface Sampled {
  readonly completion: Int32Array
  /** log π at temperature 1 and without truncation, nats per token. */
  readonly logps: Float64Array
  /** Whether it ended with a stop token or by `ends`, not at `maxNewTokens` or the end of the context. */
  readonly finished: boolean
}

/** Optimiser moments and the number of updates made: together with the weights, the whole state of training. */
export interface Optimizer {
  readonly step: number
  readonly tensors: Tensors
}

/** The common part of policies and scalar models. */
export interface Model {
  /** Number of trainable parameters. */
  readonly parameters: number
  /** Longest prompt + completion, tokens. */
  readonly context: number
  /** Applies the gradients accumulated by `backward` and clears them. Returns the norm before clipping (L2). */
  readonly step: (update: Update) => number
  readonly weights: () => Weights
  /** w ← (1 − rate) w + rate w′ for every weight, w′ those of a model of the same engine and shape, adapters merged; itself without adapters. */
  readonly follow: (model: Model, rate: number) => void
  readonly optimizer: () => Optimizer
  /** Restores the optimiser; with the model opened from the saved weights, training goes on bit for bit. */
  readonly restore: (optimizer: Optimizer) => void
  readonly dispose: () => void
}

/** A language model. */
export interface Policy extends Model {
  /**
   * With `retain` the activations stay for one `backward`. Default `precision`: the policy's own; any other serves a
   * comparison, and cannot be retained. `temperature` T (default 1) is the policy's that samples at it: log π_T, softmax of z / T, and
   * the entropies of π_T.
   */
  readonly logprobs: (
    batch: Batch,
    options?: { readonly retain?: boolean; readonly precision?: Precision; readonly temperature?: number }
  ) => Logprobs
  /**
   * The divergence of the next-token distributions of this policy and a `teacher` (same engine and vocabulary; any
   * size) at each own token. They are compared in blocks: an array [tokens, vocab] never exists.
   */
  readonly divergences: (
    batch: Batch,
    teacher: Policy,
    divergence: Divergence,
    options?: { readonly retain?: boolean }
  ) => Divergences
  /**
   * Adds the gradient of a loss, given its derivative with respect to each number that the last retained call returned: the
   * `logps` of `logprobs`, or the `values` of `divergences`.
   */
  readonly backward: (dTokens: Float64Array) => void
  /**
   * `logprobs` and `backward` in one, for a loss in which a row's gradient does not depend on other rows' `logps`. The
   * engine takes a few rows at a time, so that only their activations exist at once. `gradientOf(logps, first)` gives
   * dLoss/dLogps of a part, whose `logps` are those of the batch from number `first` on.
   */
  readonly learn: (
    batch: Batch,
    gradientOf: (logps: Float64Array, first: number) => Float64Array
  ) => Logprobs
  /** One completion per prompt; sample i draws from the stream of `seeds[i]`, whatever else is in the batch. */
  readonly sample: (
    prompts: ReadonlyArray<Int32Array>,
    sampling: Sampling,
    seeds: ReadonlyArray<string>
  ) => ReadonlyArray<Sampled>
}

/** A model with a scalar head: reward model (the last value of a row) or value model (the values before each token). */
export interface Scorer extends Model {
  /** As `Policy.logprobs`. */
  readonly values: (batch: Batch, options?: { readonly retain?: boolean; readonly precision?: Precision }) => Values
  readonly backward: (dValues: Float64Array) => void
}

/** A model that does not exist yet. */
export interface NewModel extends LlamaShape {
  /** The words of its vocabulary, without repetition. */
  readonly words: ReadonlyArray<string>
  /** Renders conversations: Jinja as in transformers. */
  readonly chatTemplate?: string
  readonly seed: string
}

export interface Engine {
  readonly kind: "tabular" | "transformer"
  /** Untrained weights: random in a transformer, the uniform policy in a tabular world (which ignores the shape). */
  readonly initial: (model: NewModel) => Weights
  /** Bytes held now and the most held at any time; a tabular world does not count. */
  readonly memory?: () => { readonly live: number; readonly peak: number }
  /** The most bytes held since the last `restart`. */
  readonly recently?: { readonly peak: () => number; readonly restart: () => void }
  /** Useful floating-point operations so far, of matrix products and attention; a tabular world does not count. */
  readonly flops?: () => number
  /** Most bytes that it can ever hold on any machine; a tabular world does not count. */
  readonly addressable?: number
  /** The size of packed weights on its backend; a tabular world has none. */
  readonly packing?: Packing
  /** The precisions that it offers, always including "f32"; a tabular world is exact and has none. */
  readonly precisions?: ReadonlyArray<Precision>
  readonly codec: (weights: Weights) => Codec
  /** A trainable copy; `weights` stay unchanged. */
  readonly policy: (weights: Weights, computing?: Computing) => Policy
  /** From a policy (the scalar head starts at zero) or from a scorer (the head is kept). */
  readonly scorer: (weights: Weights, computing?: Computing) => Scorer
}

/** The tokens of a completion that the policy wrote. */
export const ownTokens = ({ completion, given }: Row): Int32Array =>
  given === undefined ? completion : completion.filter((_, t) => given[t] === 0)

/** The number of own tokens. */
export const ownCount = ({ completion, given }: Row): number =>
  given === undefined ? completion.length : completion.length - given.reduce((sum, one) => sum + one, 0)

/** Offsets of per-token numbers: each row has `extra` more numbers than own tokens. */
export const offsetsOf = (batch: Batch, extra = 0): Int32Array => {
  const offsets = new Int32Array(batch.length + 1)
  batch.forEach((row, i) => {
    offsets[i + 1] = offsets[i]! + ownCount(row) + extra
  })
  return offsets
}
