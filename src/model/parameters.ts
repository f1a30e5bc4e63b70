import type { ModelConfig } from "./config.ts"

/** A parameter: its Hugging Face name and shape. Matrices are [out, in]. */
export interface Parameter {
  readonly name: string
  readonly shape: ReadonlyArray<number>
}

/** The sizes that decide the shape of a model. */
export type ParameterShape = Pick<
  ModelConfig,
  | "vocab"
  | "dim"
  | "layers"
  | "heads"
  | "kvHeads"
  | "headDim"
  | "ffn"
  | "idle"
  | "tied"
  | "qkvBias"
  | "outBias"
  | "mlpBias"
  | "qkNorm"
>

/** All parameters of `ModelConfig.idle`. */
export const idleExperts = "idle_experts"

/**
 * Every parameter in the order in which the transformer engine lays them out in one flat buffer: the embedding, the layers,
 * the final norm, then `lm_head.weight` (absent when tied) or `score.weight`.
 *
 * Query, key and value matrices stand side by side, so that they are also one [(heads + 2 kvHeads) · headDim, dim] matrix;
 * so do their biases, and gate and up ([2 ffn, dim]) and theirs.
 */
export const parameters = (config: ParameterShape, head: ModelConfig["head"]): ReadonlyArray<Parameter> => {
  const { dim, ffn, headDim, heads, kvHeads, vocab } = config
  const queries = heads * headDim
  const keys = kvHeads * headDim
  const list: Array<Parameter> = []
  const add = (name: string, ...shape: ReadonlyArray<number>): void => {
    list.push({ name, shape })
  }
  add("model.embed_tokens.weight", vocab, dim)
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    const attention = `${layer}.self_attn`
    const mlp = `${layer}.mlp`
    add(`${layer}.input_layernorm.weight`, dim)
    add(`${attention}.q_proj.weight`, queries, dim)
    add(`${attention}.k_proj.weight`, keys, dim)
    add(`${attention}.v_proj.weight`, keys, dim)
    if (config.qkvBias) {
      add(`${attention}.q_proj.bias`, queries)
      add(`${attention}.k_proj.bias`, keys)
      add(`${attention}.v_proj.bias`, keys)
    }
    if (config.qkNorm) {
      add(`${attention}.q_norm.weight`, headDim)
      add(`${attention}.k_norm.weight`, headDim)
    }
    add(`${attention}.o_proj.weight`, dim, queries)
    if (config.outBias) add(`${attention}.o_proj.bias`, dim)
    add(`${layer}.post_attention_layernorm.weight`, dim)
    add(`${mlp}.gate_proj.weight`, ffn, dim)
    add(`${mlp}.up_proj.weight`, ffn, dim)
    if (config.mlpBias) {
      add(`${mlp}.gate_proj.bias`, ffn)
      add(`${mlp}.up_proj.bias`, ffn)
    }
    add(`${mlp}.down_proj.weight`, dim, ffn)
    if (config.mlpBias) add(`${mlp}.down_proj.bias`, dim)
  }
  if (config.idle !== undefined) add(idleExperts, config.idle)
  add("model.norm.weight", dim)
  if (head === "score") add("score.weight", 1, dim)
  else if (!config.tied) add("lm_head.weight", vocab, dim)
  return list
}

/** Number of elements of a shape. */
export const elements = (shape: ReadonlyArray<number>): number => shape.reduce((product, size) => product * size, 1)
