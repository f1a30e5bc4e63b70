import { modelConfig, withHead } from "../../../src/model/config.ts"
import { elements, parameters } from "../../../src/model/parameters.ts"
import { stream } from "../../../src/sampling/random.ts"
import type { Batch, Sampling, Tensors, Update, Weights } from "../../../src/engine/engine.ts"

const base = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  vocab_size: 13,
  hidden_size: 8,
  intermediate_size: 10,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 24,
  rms_norm_eps: 1e-5,
  rope_theta: 100,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2
}

/** One tiny configuration for each way in which the families of Llama differ. */
export const llamas: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "Llama, GQA, tied": base,
  "Llama, all biases, untied, one head each": {
    ...base,
    num_key_value_heads: 4,
    head_dim: 2,
    tie_word_embeddings: false,
    attention_bias: true,
    mlp_bias: true
  },
  "Llama 3 rope scaling": {
    ...base,
    num_hidden_layers: 1,
    rope_scaling: {
      rope_type: "llama3",
      factor: 4,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8
    }
  },
  "yarn (cos and sin scaled)": {
    ...base,
    num_hidden_layers: 1,
    rope_scaling: { rope_type: "yarn", factor: 3, original_max_position_embeddings: 8 }
  },
  "Mistral, window 3": {
    ...base,
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    sliding_window: 3,
    tie_word_embeddings: false
  },
  "Qwen2, qkv biases": { ...base, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" },
  "Qwen3, QK-norm": {
    ...base,
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    tie_word_embeddings: false
  }
}

const { architectures: _, hidden_act: __, rms_norm_eps: ___, ...sizes } = base
const { num_key_value_heads: _k, head_dim: _h, ...plainHeads } = sizes

/** One tiny configuration of each other architecture; contexts are long enough for windows to matter. */
const others: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "OLMo 2": { ...sizes, model_type: "olmo2", tie_word_embeddings: false },
  "OLMo 3": { ...sizes, model_type: "olmo3", sliding_window: 3, layer_types: ["sliding_attention", "full_attention"] },
  "SmolLM 3": { ...sizes, model_type: "smollm3", no_rope_layer_interval: 2 },
  "Gemma 2": {
    ...sizes,
    model_type: "gemma2",
    sliding_window: 3,
    query_pre_attn_scalar: 6,
    attn_logit_softcapping: 2,
    final_logit_softcapping: 3
  },
  "Gemma 3": { ...sizes, model_type: "gemma3_text", sliding_window: 3, sliding_window_pattern: 2 },
  "Phi 4": {
    ...sizes,
    model_type: "phi3",
    partial_rotary_factor: 0.5,
    original_max_position_embeddings: 6,
    rope_scaling: { type: "longrope", short_factor: [1.5], long_factor: [3] }
  },
  "Cohere 2": {
    ...sizes,
    model_type: "cohere2",
    sliding_window: 3,
    logit_scale: 0.5,
    sliding_window_pattern: 2
  },
  "GPT-2": {
    model_type: "gpt2",
    vocab_size: 13,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    n_inner: 10,
    max_position_embeddings: 24,
    bos_token_id: 1,
    eos_token_id: 2
  },
  "GPT-NeoX": {
    ...plainHeads,
    num_attention_heads: 2,
    model_type: "gpt_neox",
    rotary_pct: 0.5,
    tie_word_embeddings: false
  },
  "GPT-NeoX, one after the other": {
    ...plainHeads,
    num_attention_heads: 2,
    num_hidden_layers: 1,
    model_type: "gpt_neox",
    rotary_pct: 0.5,
    use_parallel_residual: false,
    tie_word_embeddings: false
  }
}

const { intermediate_size: _f, ...routed } = { ...sizes, num_experts_per_tok: 2, tie_word_embeddings: false }

/** Routed experts: renormalised or not, beside a dense layer or not. */
const routers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "Qwen 3 MoE": {
    ...routed,
    model_type: "qwen3_moe",
    intermediate_size: 10,
    moe_intermediate_size: 6,
    num_experts: 5,
    norm_topk_prob: true,
    mlp_only_layers: [0]
  },
  OLMoE: { ...routed, model_type: "olmoe", intermediate_size: 6, num_experts: 5 },
  Mixtral: { ...routed, model_type: "mixtral", intermediate_size: 6, num_local_experts: 3 }
}

/** One tiny configuration of every kind. */
export const variants: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  ...llamas,
  ...others,
  ...routers
}

/** Weights large enough that every path of the model matters: nothing is close to linear or saturated. */
export const randomWeights = (
  raw: Readonly<Record<string, unknown>>,
  seed: string,
  head: "lm" | "score" = "lm"
): Weights => {
  const config = withHead(raw, head)
  const { norm: { plus }, ...model } = modelConfig(config)
  const tensors: Tensors = new Map(
    parameters(model, head).map(({ name, shape }) => {
      const { normal } = stream(`${seed}/${name}`)
      const norm = /(norm|ln_\w+)\.weight$/u.test(name)
      const scale = norm || name.endsWith("bias") ? 0.3 : shape[1]! ** -0.5
      return [name, {
        shape,
        data: Float64Array.from({ length: elements(shape) }, () => (norm ? 1 - plus : 0) + scale * normal())
      }]
    })
  )
  return { config, tensors, tokenizer: new Map() }
}

/** Rows of the given prompt and completion lengths. */
export const randomBatch = (lengths: ReadonlyArray<readonly [number, number]>, seed: string, vocab = 13): Batch => {
  const { int } = stream(seed)
  const ids = (length: number) => Int32Array.from({ length }, () => int(vocab))
  return lengths.map(([prompt, completion]) => ({ prompt: ids(prompt), completion: ids(completion) }))
}

export const randomNumbers = (length: number, seed: string): Float64Array => {
  const { normal } = stream(seed)
  return Float64Array.from({ length }, () => normal())
}

/** With β1 = 0 the first moment after one update is the gradient itself. */
export const revealing: Update = { learningRate: 0, betas: [0, 0.5], eps: 1e-8, weightDecay: 0, maxGradNorm: Infinity }

export const training: Update = {
  learningRate: 1e-2,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 0.1,
  maxGradNorm: 0.5
}

export const plainSampling: Sampling = { maxNewTokens: 8, temperature: 1, topK: 0, topP: 1, stop: [2] }

export const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) throw new Error(`lengths ${a.length} and ${b.length}`)
  let most = 0
  // Not Math.max: a NaN must not look like agreement.
  for (let i = 0; i < a.length; i++) if (!(Math.abs(a[i]! - b[i]!) <= most)) most = Math.abs(a[i]! - b[i]!)
  return most
}
