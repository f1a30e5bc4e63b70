import type { ModelConfig } from "../../model/architecture.ts"
import { qkvWidth } from "../../model/parameters.ts"
import type { AttentionShape, Tensor } from "../../tensor/backend.ts"
import { qkNorms } from "./norms.ts"
import { type Pass, product, productBackward, type Sublayer } from "./sublayer.ts"

export const attentionShape = (config: ModelConfig, layer: number): AttentionShape => ({
  heads: config.heads,
  kvHeads: config.kvHeads,
  headDim: config.headDim,
  scale: config.attentionScale,
  cap: config.attentionCap,
  window: config.blocks[layer]!.attention.window
})

/** Rotates the query and key heads of fused qkv rows, where the layer has a rotation. */
const rotate = (
  { backend, config, positions, rotary }: Pass,
  qkv: Tensor,
  layer: number,
  inverse: boolean
): void => {
  const { rope } = config.blocks[layer]!.attention
  if (rope === null) return
  const { cos, sin } = rotary[rope]!
  backend.rope(qkv, cos, sin, positions, {
    heads: config.heads + config.kvHeads,
    headDim: config.headDim,
    turned: config.ropes[rope]!.dim,
    stride: qkvWidth(config),
    inverse
  })
}

/** out · attention(rotated and normed queries and keys, values), heads in groups (Ainslie et al. 2023). */
export const groupedAttention: Sublayer = {
  forward: (pass, at, layer, x, rows) => {
    const { attend, backend, config, parameters } = pass
    const { keyNorm, queryNorm } = parameters.layers[layer]!
    product(pass, layer, "qkv", at.rawQkv, x, [rows, config.dim, qkvWidth(config)])
    if (queryNorm !== null && keyNorm !== null) {
      const { key, query } = qkNorms(config, rows)
      // The norms leave the values alone, hence the copy; the rows before it are needed for the backward pass.
      backend.copy(at.qkv, at.rawQkv)
      backend.rmsNorm(at.qkv, at.rawQkv, queryNorm, at.invQuery!, query)
      backend.rmsNorm(at.qkv, at.rawQkv, keyNorm, at.invKey!, key)
    }
    rotate(pass, at.qkv, layer, false)
    attend(at, layer)
  },
  end: (pass, at, layer, out, residual, rows) => {
    const { dim, headDim, heads } = pass.config
    product(pass, layer, "out", out, at.attended, [rows, heads * headDim, dim], residual)
  },
  backward: (pass, at, layer, dX, dOut, x, rows) => {
    const { backend, config, gradients, parameters, space, starts } = pass
    const { dim, headDim, heads } = config
    const { keyNorm, queryNorm } = parameters.layers[layer]!
    const g = gradients.layers?.[layer]
    const dAttended = space.reals("dAttended", rows * heads * headDim)
    const dQkv = space.reals("dQkv", rows * qkvWidth(config))
    productBackward(pass, layer, "out", dAttended, dOut, at.attended, [rows, heads * headDim, dim])
    backend.attentionBackward(dQkv, dAttended, at.qkv, at.attended, at.lse, starts, attentionShape(config, layer))
    rotate(pass, dQkv, layer, true)
    if (queryNorm !== null && keyNorm !== null) {
      const { key, query } = qkNorms(config, rows)
      const of = (dWeight: Tensor | null | undefined) => ({ dX: dQkv, accumulate: false, dWeight: dWeight ?? null })
      backend.rmsNormBackward(of(g?.queryNorm), dQkv, at.rawQkv, queryNorm, at.invQuery!, query)
      backend.rmsNormBackward(of(g?.keyNorm), dQkv, at.rawQkv, keyNorm, at.invKey!, key)
    }
    productBackward(pass, layer, "qkv", dX, dQkv, x(), [rows, dim, qkvWidth(config)])
  }
}
