import type { ModelConfig } from "../../model/config.ts"
import type { AttentionShape, Backend, Ints, NormShape } from "../../tensor/backend.ts"
import type { Activations, LayerActivations } from "./activations.ts"
import type { Adapters } from "./adapters.ts"
import type { ModelParameters } from "./layout.ts"
import type { Rotary } from "./rotary.ts"

/** How a layer mixes its tokens: packed causal attention, or against a cache. Reads `at.qkv`, writes `at.attended`. */
export type Attend = (at: LayerActivations, layer: number) => void

export const attentionShape = (config: ModelConfig): AttentionShape => ({
  heads: config.heads,
  kvHeads: config.kvHeads,
  headDim: config.headDim,
  scale: 1 / Math.sqrt(config.headDim),
  window: config.window
})

/** The norm of whole rows of the residual stream. */
export const rowNorm = (config: ModelConfig, rows: number): NormShape => ({
  rows,
  groups: 1,
  dim: config.dim,
  stride: config.dim,
  offset: 0,
  eps: config.normEps
})

/** The norms of query and key heads inside a fused qkv row (Qwen3). */
export const headNorms = (
  config: ModelConfig,
  rows: number
): { readonly query: NormShape; readonly key: NormShape } => {
  const { headDim, heads, kvHeads, normEps: eps } = config
  const stride = (heads + 2 * kvHeads) * headDim
  return {
    query: { rows, groups: heads, dim: headDim, stride, offset: 0, eps },
    key: { rows, groups: kvHeads, dim: headDim, stride, offset: heads * headDim, eps }
  }
}

/** Rotation of the query and key heads of fused qkv rows. */
export const rotation = (config: ModelConfig, inverse: boolean) => ({
  heads: config.heads + config.kvHeads,
  headDim: config.headDim,
  stride: (config.heads + 2 * config.kvHeads) * config.headDim,
  inverse
})

/** One matrix product of a layer: `linear`, or `linearPacked` when the parameters are packed. */
export type Multiply = Backend["linear"]

/** Everything that a layer needs besides its input: the same for every layer of a pass. */
export interface Pass {
  readonly backend: Backend
  readonly config: ModelConfig
  /** Its matrices as `multiply` reads them. */
  readonly parameters: ModelParameters
  readonly multiply: Multiply
  /** Low-rank terms of the layer's products. */
  readonly adapters: Adapters | null
  readonly positions: Ints
  readonly rotary: Rotary
  readonly attend: Attend
}

/**
 * Layer `l` from its input, up to and without the product that ends it:
 * middle = x + out · attention(norm x), gated = swiglu(gateUp · norm middle); the next input is middle + down · gated.
 */
export const layerForward = (pass: Pass, from: Activations, l: number): void => {
  const { adapters, attend, backend, config, multiply, parameters, positions, rotary } = pass
  const { ffn, headDim, heads, dim, kvHeads } = config
  const { rows } = from
  const norm = rowNorm(config, rows)
  const p = parameters.layers[l]!
  const at = from.layers[l]!
  const x = from.residual[l]!
  backend.rmsNorm(at.normed, x, p.norm, at.inv, norm)
  multiply(at.rawQkv, at.normed, p.qkv, p.qkvBias, rows, dim, (heads + 2 * kvHeads) * headDim)
  adapters?.forward(backend, l, "qkv", at.rawQkv, at.normed, rows)
  if (p.queryNorm !== null && p.keyNorm !== null) {
    const perHead = headNorms(config, rows)
    // The norms leave the values alone, hence the copy; the rows before it are needed for the backward pass.
    backend.copy(at.qkv, at.rawQkv)
    backend.rmsNorm(at.qkv, at.rawQkv, p.queryNorm, at.invQuery!, perHead.query)
    backend.rmsNorm(at.qkv, at.rawQkv, p.keyNorm, at.invKey!, perHead.key)
  }
  backend.rope(at.qkv, rotary.cos, rotary.sin, positions, rotation(config, false))
  attend(at, l)
  multiply(at.middle, at.attended, p.out, p.outBias, rows, heads * headDim, dim, x)
  adapters?.forward(backend, l, "out", at.middle, at.attended, rows)
  backend.rmsNorm(at.normed, at.middle, p.normMiddle, at.invMiddle, norm)
  multiply(at.gateUp, at.normed, p.gateUp, p.gateUpBias, rows, dim, 2 * ffn)
  adapters?.forward(backend, l, "gateUp", at.gateUp, at.normed, rows)
  backend.swiglu(at.gated, at.gateUp, rows, ffn)
}

/**
 * The decoder without its head (Llama 2, Touvron et al. 2023; Qwen3 adds the norms of queries and keys): fills `into`, whose
 * `final` is the normed hidden state of every token row.
 */
export const forward = (pass: Pass, into: Activations, ids: Ints): void => {
  const { adapters, backend, config, multiply, parameters } = pass
  const { ffn, dim } = config
  const { rows } = into
  backend.embed(into.residual[0]!, parameters.embed, ids, dim)
  for (let l = 0; l < config.layers; l++) {
    layerForward(pass, into, l)
    const { down, downBias } = parameters.layers[l]!
    const { gated, middle } = into.layers[l]!
    multiply(into.residual[l + 1]!, gated, down, downBias, rows, ffn, dim, middle)
    adapters?.forward(backend, l, "down", into.residual[l + 1]!, gated, rows)
  }
  const last = into.residual[config.layers]!
  backend.rmsNorm(into.final, last, parameters.norm, into.invFinal, rowNorm(config, rows))
}
