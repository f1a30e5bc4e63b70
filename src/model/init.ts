import type { TensorData, Tensors } from "./weights.ts"
import { stream } from "../sampling/random.ts"
import type { ModelConfig } from "./config.ts"
import { elements, parameters } from "./parameters.ts"

/** A Llama by its sizes. */
export interface LlamaShape {
  /** `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `num_key_value_heads`, `intermediate_size`. */
  readonly dim: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly ffn: number
  /** Longest sequence, tokens. */
  readonly context: number
}

/** `config.json` of a Llama; beginning, end and padding as `wordLevel` numbers them. */
export const llamaConfig = (
  model: LlamaShape & { readonly vocab: number; readonly tied: boolean }
): Readonly<Record<string, unknown>> => ({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: model.dim,
  intermediate_size: model.ffn,
  num_hidden_layers: model.layers,
  num_attention_heads: model.heads,
  num_key_value_heads: model.kvHeads,
  max_position_embeddings: model.context,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  tie_word_embeddings: model.tied,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 3,
  vocab_size: model.vocab
})

/** Standard deviation of the matrices (GPT-2, Radford et al. 2019; `initializer_range` of transformers). */
const deviation = 0.02

/**
 * Untrained weights: matrices normal with deviation 0.02, matrices that write to the residual stream (`o_proj`, `down_proj`)
 * divided by √(2 · layers) so that its variance does not grow with depth (Radford et al. 2019, §2.3), norms 1, biases 0, a
 * scalar head 0. Each tensor draws from a stream of its own, so it depends on the seed and its name only.
 */
export const initial = (config: ModelConfig, seed: string): Tensors =>
  new Map(
    parameters(config, config.head).map(({ name, shape }): [string, TensorData] => {
      const data = new Float32Array(elements(shape))
      const residual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight")
      if (name.endsWith("norm.weight")) data.fill(1)
      else if (!name.endsWith(".bias") && name !== "score.weight") {
        const { normal } = stream(`${seed}/${name}`)
        const scale = residual ? deviation / Math.sqrt(2 * config.layers) : deviation
        for (let i = 0; i < data.length; i++) data[i] = scale * normal()
      }
      return [name, { shape, data }]
    })
  )
