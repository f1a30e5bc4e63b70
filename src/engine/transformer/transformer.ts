import { modelConfig } from "../../model/config.ts"
import { codec } from "../../model/tokenizer.ts"
import type { Backend } from "../../tensor/backend.ts"
import type { Engine, Weights } from "../engine.ts"
import { initial } from "./initial.ts"
import { policy, type TransformerPolicy } from "./policy.ts"
import { scorer } from "./scorer.ts"

export interface TransformerOptions {
  /**
   * Most tokens in one forward or backward pass; a larger batch is cut into several (whole sequences each) with the same
   * result. Bounds the memory of activations.
   */
  readonly microBatchTokens?: number
}

export interface TransformerEngine extends Engine {
  readonly policy: (weights: Weights) => TransformerPolicy
}

/** The Llama family (Llama, Mistral, Qwen2, Qwen3) on any backend. */
export const transformer = (backend: Backend, options: TransformerOptions = {}): TransformerEngine => {
  const settings = { microBatchTokens: options.microBatchTokens ?? 8192 }
  return {
    kind: "transformer",
    initial,
    memory: backend.memory,
    codec: (weights) => codec(weights.tokenizer, modelConfig(weights.config)),
    policy: (weights) => policy(backend, weights, settings),
    scorer: (weights) => scorer(backend, weights, settings)
  }
}
