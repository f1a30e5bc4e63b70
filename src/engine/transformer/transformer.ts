import { modelConfig } from "../../model/config.ts"
import { codec } from "../../model/tokenizer.ts"
import type { Backend } from "../../tensor/backend.ts"
import type { Computing, Engine, Weights } from "../engine.ts"
import { read } from "../processReward.ts"
import { initial } from "./initial.ts"
import { policy, type TransformerPolicy } from "./policy.ts"
import { scorer } from "./scorer.ts"
import { counts, withFlops } from "../../tensor/counting/withFlops.ts"

/** Default of the most tokens in one pass. */
export const microBatchTokens = 8192

export interface TransformerOptions {
  /**
   * Most tokens in one forward or backward pass; a larger batch is cut into parts of whole sequences with the same
   * result. Bounds the memory of activations.
   */
  readonly microBatchTokens?: number
  /** Whether models keep only layer inputs for their backward pass, unless `Computing` says otherwise. */
  readonly recompute?: boolean
}

export interface TransformerEngine extends Engine {
  readonly policy: (weights: Weights, computing?: Computing) => TransformerPolicy
}

/** The Llama family (Llama, Mistral, Qwen2, Qwen3) on any backend. */
export const transformer = (computes: Backend, options: TransformerOptions = {}): TransformerEngine => {
  const backend = counts(computes) ? computes : withFlops(computes)
  const { microBatchTokens: most = microBatchTokens } = options
  const { recompute: again = false } = options
  const settings = ({ microBatchTokens = most, recompute = again, slots = 64, ...rest }: Computing = {}) => ({
    ...rest,
    microBatchTokens: Math.min(most, microBatchTokens),
    slots,
    recompute
  })
  return {
    kind: "transformer",
    initial,
    memory: backend.memory,
    flops: backend.flops,
    ...(backend.recently === undefined ? {} : { recently: backend.recently }),
    addressable: backend.addressable,
    packing: backend.packing
      ?? ((precision, inputs, outputs) => backend.at(precision).packedLength(inputs, outputs)),
    precisions: backend.precisions,
    codec: (weights) => codec(weights.tokenizer, modelConfig(weights.config)),
    policy: (weights, computing) => policy(backend, weights, settings(computing)),
    scorer: (weights, computing) => read(weights, (own) => scorer(backend, own, settings(computing)))
  }
}
