import type { ModelConfig } from "../../model/config.ts"
import { elements, parameters } from "../../model/parameters.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"

/** The parameters (or gradients) of one layer as the kernels take them; `qkv` and `gateUp` are fused matrices. */
export interface LayerParameters {
  readonly norm: Tensor
  readonly qkv: Tensor
  readonly qkvBias: Tensor | null
  readonly queryNorm: Tensor | null
  readonly keyNorm: Tensor | null
  readonly out: Tensor
  readonly outBias: Tensor | null
  readonly normMiddle: Tensor
  readonly gateUp: Tensor
  readonly gateUpBias: Tensor | null
  readonly down: Tensor
  readonly downBias: Tensor | null
}

/** Views of one flat buffer. `head` is `embed` itself in a language model with tied embeddings. */
export interface ModelParameters {
  readonly embed: Tensor
  readonly layers: ReadonlyArray<LayerParameters>
  readonly norm: Tensor
  /** [vocab, dim] of a policy, [1, dim] of a scorer. */
  readonly head: Tensor
}

/** Gradients in the same places; null for untrained parameters. */
export interface Gradients {
  readonly embed: Tensor | null
  readonly layers: ReadonlyArray<LayerParameters> | null
  readonly norm: Tensor | null
  readonly head: Tensor | null
}

/** A named parameter's place in the flat buffer, elements. */
export interface Place {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly start: number
  readonly length: number
}

export interface Layout {
  readonly places: ReadonlyArray<Place>
  readonly length: number
  /** Cuts a buffer of that length into the kernels' tensors, sharing its memory. */
  readonly view: (flat: Tensor) => ModelParameters
}

export const layout = (backend: Backend, config: ModelConfig, head: ModelConfig["head"]): Layout => {
  let length = 0
  const places = parameters(config, head).map(({ name, shape }): Place => {
    const size = elements(shape)
    const place = { name, shape, start: length, length: size }
    length += size
    return place
  })
  const at = new Map(places.map((place) => [place.name, place]))
  const view = (flat: Tensor): ModelParameters => {
    // Names that follow each other in the buffer make one fused matrix.
    const take = (...names: ReadonlyArray<string>): Tensor => {
      const fused = names.map((name) => at.get(name)!)
      return backend.slice(flat, fused[0]!.start, fused.reduce((sum, place) => sum + place.length, 0))
    }
    const embed = take("model.embed_tokens.weight")
    return {
      embed,
      norm: take("model.norm.weight"),
      head: head === "score" ? take("score.weight") : config.tied ? embed : take("lm_head.weight"),
      layers: Array.from({ length: config.layers }, (_, l): LayerParameters => {
        const layer = `model.layers.${l}`
        const attention = (name: string) => `${layer}.self_attn.${name}`
        const mlp = (name: string) => `${layer}.mlp.${name}`
        const qkv = (kind: string) =>
          take(...["q_proj", "k_proj", "v_proj"].map((name) => attention(`${name}.${kind}`)))
        const gateUp = (kind: string) => take(mlp(`gate_proj.${kind}`), mlp(`up_proj.${kind}`))
        return {
          norm: take(`${layer}.input_layernorm.weight`),
          qkv: qkv("weight"),
          qkvBias: config.qkvBias ? qkv("bias") : null,
          queryNorm: config.qkNorm ? take(attention("q_norm.weight")) : null,
          keyNorm: config.qkNorm ? take(attention("k_norm.weight")) : null,
          out: take(attention("o_proj.weight")),
          outBias: config.outBias ? take(attention("o_proj.bias")) : null,
          normMiddle: take(`${layer}.post_attention_layernorm.weight`),
          gateUp: gateUp("weight"),
          gateUpBias: config.mlpBias ? gateUp("bias") : null,
          down: take(mlp("down_proj.weight")),
          downBias: config.mlpBias ? take(mlp("down_proj.bias")) : null
        }
      })
    }
  }
  return { places, length, view }
}
