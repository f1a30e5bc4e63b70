/** The models and data of the benchmark: the same for every backend and every peer. */
import type { Batch, TensorData, Update, Weights } from "../engine/engine.ts"
import { modelConfig } from "../model/config.ts"
import { initial, llamaConfig } from "../model/init.ts"
import { elements, parameters } from "../model/parameters.ts"
import { wordLevel } from "../model/wordLevel.ts"
import { stream } from "../sampling/random.ts"

/** The ids of the special tokens come first, `words` after them, as in `wordLevel`. */
const firstWord = 4
const words = (vocab: number): ReadonlyArray<string> =>
  Array.from({ length: vocab - firstWord }, (_, i) => `w${i + firstWord}`)

/** Token ids as text, which the word-level tokenizer turns into the same ids. */
export const textOf = (ids: ArrayLike<number>): string => Array.from(ids, (id) => `w${id}`).join(" ")

/** A model with the batches it is trained on and the prompts it continues. */
export interface Workload {
  readonly name: string
  readonly weights: Weights
  /** Rows of `sequence + 1` token ids; training goes round and round. */
  readonly batches: ReadonlyArray<ReadonlyArray<Int32Array>>
  readonly prompts: ReadonlyArray<Int32Array>
  readonly newTokens: number
  readonly update: Update
}

export const update: Update = {
  learningRate: 1e-3,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 0.1,
  maxGradNorm: Infinity
}

/** Matrices normal with deviation 0.05, the embedding 0.5, norms 1: large enough that no two logits are nearly equal. */
const spreadOut = (config: Readonly<Record<string, unknown>>, seed: string): Weights => ({
  config,
  tokenizer: new Map(),
  tensors: new Map(
    parameters(modelConfig(config), "lm").map(({ name, shape }): [string, TensorData] => {
      const { normal } = stream(`${seed}/${name}`)
      const scale = name === "model.embed_tokens.weight" ? 0.5 : 0.05
      const data = new Float32Array(elements(shape))
      for (let i = 0; i < data.length; i++) data[i] = shape.length === 1 ? 1 : scale * normal()
      return [name, { shape, data }]
    })
  )
})

/** Sequences that can be learnt: with probability 0.7 a token follows from the token before, otherwise it is random. */
export const sequences = (
  count: number,
  length: (i: number) => number,
  vocab: number,
  seed: string
): ReadonlyArray<Int32Array> => {
  const random = stream(seed)
  const any = () => firstWord + random.int(vocab - firstWord)
  return Array.from({ length: count }, (_, i) => {
    const ids = new Int32Array(length(i))
    for (let t = 0; t < ids.length; t++) {
      ids[t] = t > 0 && random.next() < 0.7 ? firstWord + (ids[t - 1]! * 31 + 7) % (vocab - firstWord) : any()
    }
    return ids
  })
}

const workload = (
  name: string,
  model: Omit<Parameters<typeof llamaConfig>[0], "context" | "tied">,
  batch: number,
  sequence: number
): Workload => ({
  name,
  weights: spreadOut(llamaConfig({ ...model, context: 512, tied: false }), `bench/${name}`),
  batches: Array.from(
    { length: 8 },
    (_, i) => sequences(batch, () => sequence + 1, model.vocab, `bench/${name}/batch/${i}`)
  ),
  prompts: sequences(16, () => 16, model.vocab, `bench/${name}/prompts`),
  newTokens: 64,
  update
})

export const workloads = {
  /** 0.29 M parameters, a step of 16 × 128 tokens. */
  tiny: () => workload("tiny", { dim: 64, layers: 5, heads: 4, kvHeads: 2, ffn: 172, vocab: 512 }, 16, 128),
  /** 5.4 M parameters, a step of 8 × 256 tokens. */
  mid: () => workload("mid", { dim: 256, layers: 6, heads: 8, kvHeads: 4, ffn: 688, vocab: 2048 }, 8, 256)
} as const
export type WorkloadName = keyof typeof workloads

/** The shape of stories260K (Karpathy's llama2.c) with random weights, for the steps that TRL takes. */
export const storiesShape = (): Weights => {
  const shape = { dim: 64, layers: 5, heads: 8, kvHeads: 4, ffn: 172, vocab: 512, context: 512 }
  const config = llamaConfig({ ...shape, tied: true })
  return wordTokens({ config, tensors: initial(modelConfig(config), "bench/stories"), tokenizer: new Map() })
}

/**
 * The same weights with a tokenizer of numbered words, so that a peer which takes text gets exactly the ids meant, whatever
 * model it is.
 */
export const wordTokens = (weights: Weights): Weights => {
  const config = { ...weights.config, bos_token_id: 1, eos_token_id: 2, pad_token_id: 3 }
  return { ...weights, config, tokenizer: wordLevel(words(modelConfig(config).vocab)) }
}

/** Every token after the first is trained on, as in a plain language-model loss. */
export const asBatch = (rows: ReadonlyArray<Int32Array>): Batch =>
  rows.map((ids) => ({ prompt: ids.subarray(0, 1), completion: ids.subarray(1) }))
