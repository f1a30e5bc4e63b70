import type { ModelConfig } from "../../model/config.ts"
import type { AttentionShape, Backend, Ints, NormShape } from "../../tensor/backend.ts"
import type { Activations, LayerActivations } from "./activations.ts"
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

/**
 * The decoder without its head (Llama 2, Touvron et al. 2023; Qwen3 adds the norms of queries and keys): fills `into`, whose
 * `final` is the normed hidden state of every token row.
 */
export const forward = (
  backend: Backend,
  config: ModelConfig,
  parameters: ModelParameters,
  into: Activations,
  ids: Ints,
  positions: Ints,
  rotary: Rotary,
  attend: Attend
): void => {
  const { ffn, headDim, heads, dim, kvHeads } = config
  const { rows } = into
  const norm = rowNorm(config, rows)
  const perHead = headNorms(config, rows)
  const rotate = rotation(config, false)
  const width = (heads + 2 * kvHeads) * headDim
  backend.embed(into.residual[0]!, parameters.embed, ids, dim)
  for (let l = 0; l < config.layers; l++) {
    const p = parameters.layers[l]!
    const at = into.layers[l]!
    const x = into.residual[l]!
    backend.rmsNorm(at.normed, x, p.norm, at.inv, norm)
    backend.linear(at.rawQkv, at.normed, p.qkv, p.qkvBias, rows, dim, width)
    if (p.queryNorm !== null && p.keyNorm !== null) {
      // The norms leave the values alone, hence the copy; the rows before it are needed for the backward pass.
      backend.copy(at.qkv, at.rawQkv)
      backend.rmsNorm(at.qkv, at.rawQkv, p.queryNorm, at.invQuery!, perHead.query)
      backend.rmsNorm(at.qkv, at.rawQkv, p.keyNorm, at.invKey!, perHead.key)
    }
    backend.rope(at.qkv, rotary.cos, rotary.sin, positions, rotate)
    attend(at, l)
    backend.linear(at.middle, at.attended, p.out, p.outBias, rows, heads * headDim, dim)
    backend.add(at.middle, x)
    backend.rmsNorm(at.normedMiddle, at.middle, p.normMiddle, at.invMiddle, norm)
    backend.linear(at.gateUp, at.normedMiddle, p.gateUp, p.gateUpBias, rows, dim, 2 * ffn)
    backend.swiglu(at.gated, at.gateUp, rows, ffn)
    const next = into.residual[l + 1]!
    backend.linear(next, at.gated, p.down, p.downBias, rows, ffn, dim)
    backend.add(next, at.middle)
  }
  backend.rmsNorm(into.final, into.residual[config.layers]!, parameters.norm, into.invFinal, norm)
}
