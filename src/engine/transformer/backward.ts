import type { Ints, Tensor } from "../../tensor/backend.ts"
import type { Activations } from "./activations.ts"
import type { Site } from "./adapters.ts"
import { attentionShape, headNorms, layerForward, type Pass, rotation, rowNorm } from "./forward.ts"
import type { Gradients } from "./layout.ts"
import type { Workspace } from "./workspace.ts"

/**
 * The gradient of `forward`: adds to `gradients`, given the gradient `dFinal` [N, d] of the normed hidden states. It
 * uses the activations up (the gradient of a gate overwrites the gate), so each forward pass has one backward pass.
 * Shared buffers hold the last layer's activations at the start and are computed again for the others: norms and gated
 * values, or, where layers share all buffers, the whole layer from its input.
 */
export const backward = (
  pass: Pass,
  gradients: Gradients,
  from: Activations,
  dFinal: Tensor,
  ids: Ints,
  starts: Ints,
  space: Workspace
): void => {
  const { adapters, backend, config, parameters, positions, rotary } = pass
  const { ffn, headDim, heads, dim, kvHeads } = config
  const { rows } = from
  const norm = rowNorm(config, rows)
  const perHead = headNorms(config, rows)
  const rotate = rotation(config, true)
  const shape = attentionShape(config)
  const width = (heads + 2 * kvHeads) * headDim
  // Gradient of the residual stream, carried from the last layer to the embedding.
  const dX = space.reals("dResidual", rows * dim)
  const dNormed = space.reals("dNormed", rows * dim)
  const dGated = space.reals("dGated", rows * ffn)
  const dAttended = space.reals("dAttended", rows * heads * headDim)
  const dQkv = space.reals("dQkv", rows * width)
  const final = { dX, accumulate: false, dWeight: gradients.norm }
  backend.rmsNormBackward(final, dFinal, from.residual[config.layers]!, parameters.norm, from.invFinal, norm)
  /** A branch of the residual stream adds to its gradient. */
  const residual = { dX, accumulate: true }
  const layer = (l: number): void => {
    const p = parameters.layers[l]!
    const g = gradients.layers?.[l]
    const at = from.layers[l]!
    /** Sets the gradient of the input of a product, and adds to the gradients of its parameters and adapter. */
    const product = (site: Site, dIn: Tensor, dOut: Tensor, x: Tensor, inputs: number, outputs: number): void => {
      const into = { dX: dIn, accumulate: false, dW: g?.[site] ?? null, dBias: g?.[`${site}Bias`] ?? null }
      backend.linearBackward(into, dOut, x, p[site], rows, inputs, outputs)
      adapters?.backward(backend, l, site, dIn, dOut, x, rows)
    }
    if (l < config.layers - 1) {
      if (from.shared) layerForward(pass, from, l)
      else {
        backend.swiglu(at.gated, at.gateUp, rows, ffn)
        backend.rmsNorm(at.normed, at.middle, p.normMiddle, at.invMiddle, norm)
      }
    }

    product("down", dGated, dX, at.gated, ffn, dim)
    backend.swigluBackward(at.gateUp, dGated, at.gateUp, rows, ffn)
    product("gateUp", dNormed, at.gateUp, at.normed, dim, 2 * ffn)
    const middle = { ...residual, dWeight: g?.normMiddle ?? null }
    backend.rmsNormBackward(middle, dNormed, at.middle, p.normMiddle, at.invMiddle, norm)

    product("out", dAttended, dX, at.attended, heads * headDim, dim)
    backend.attentionBackward(dQkv, dAttended, at.qkv, at.attended, at.lse, starts, shape)
    backend.rope(dQkv, rotary.cos, rotary.sin, positions, rotate)
    if (p.queryNorm !== null && p.keyNorm !== null) {
      const query = { dX: dQkv, accumulate: false, dWeight: g?.queryNorm ?? null }
      const key = { dX: dQkv, accumulate: false, dWeight: g?.keyNorm ?? null }
      backend.rmsNormBackward(query, dQkv, at.rawQkv, p.queryNorm, at.invQuery!, perHead.query)
      backend.rmsNormBackward(key, dQkv, at.rawQkv, p.keyNorm, at.invKey!, perHead.key)
    }
    backend.rmsNorm(at.normed, from.residual[l]!, p.norm, at.inv, norm)
    product("qkv", dNormed, dQkv, at.normed, dim, width)
    backend.rmsNormBackward({ ...residual, dWeight: g?.norm ?? null }, dNormed, from.residual[l]!, p.norm, at.inv, norm)
  }
  for (let l = config.layers - 1; l >= 0; l--) layer(l)
  if (gradients.embed !== null) backend.embedBackward(gradients.embed, dX, ids, dim)
}
