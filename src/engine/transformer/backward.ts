import type { Ints, Tensor } from "../../tensor/backend.ts"
import type { Activations } from "./activations.ts"
import { attentionShape, headNorms, layerForward, type Pass, rotation, rowNorm } from "./forward.ts"
import type { Gradients } from "./layout.ts"
import type { Workspace } from "./workspace.ts"

/**
 * The gradient of `forward`: adds to `gradients`, given the gradient `dFinal` [N, d] of the normed hidden states. It uses the
 * activations up (the gradient of a gate overwrites the gate), so each forward pass has one backward pass. What layers share
 * holds the last layer's when this begins and is computed again for the others: norms and gated values, or, where layers share
 * all, the whole layer from its input.
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
  backend.rmsNormBackward(
    { dX, accumulate: false, dWeight: gradients.norm },
    dFinal,
    from.residual[config.layers]!,
    parameters.norm,
    from.invFinal,
    norm
  )
  const layer = (l: number): void => {
    const p = parameters.layers[l]!
    const g = gradients.layers[l]!
    const at = from.layers[l]!
    if (l < config.layers - 1) {
      if (from.shared) layerForward(pass, from, l)
      else {
        backend.swiglu(at.gated, at.gateUp, rows, ffn)
        backend.rmsNorm(at.normed, at.middle, p.normMiddle, at.invMiddle, norm)
      }
    }

    backend.linearBackward(
      { dX: dGated, accumulate: false, dW: g.down, dBias: g.downBias },
      dX,
      at.gated,
      p.down,
      rows,
      ffn,
      dim
    )
    adapters?.backward(backend, l, "down", dGated, dX, at.gated, rows)
    backend.swigluBackward(at.gateUp, dGated, at.gateUp, rows, ffn)
    backend.linearBackward(
      { dX: dNormed, accumulate: false, dW: g.gateUp, dBias: g.gateUpBias },
      at.gateUp,
      at.normed,
      p.gateUp,
      rows,
      dim,
      2 * ffn
    )
    adapters?.backward(backend, l, "gateUp", dNormed, at.gateUp, at.normed, rows)
    backend.rmsNormBackward(
      { dX, accumulate: true, dWeight: g.normMiddle },
      dNormed,
      at.middle,
      p.normMiddle,
      at.invMiddle,
      norm
    )

    backend.linearBackward(
      { dX: dAttended, accumulate: false, dW: g.out, dBias: g.outBias },
      dX,
      at.attended,
      p.out,
      rows,
      heads * headDim,
      dim
    )
    adapters?.backward(backend, l, "out", dAttended, dX, at.attended, rows)
    backend.attentionBackward(dQkv, dAttended, at.qkv, at.attended, at.lse, starts, shape)
    backend.rope(dQkv, rotary.cos, rotary.sin, positions, rotate)
    if (p.queryNorm !== null && p.keyNorm !== null) {
      const into = { dX: dQkv, accumulate: false }
      backend.rmsNormBackward(
        { ...into, dWeight: g.queryNorm },
        dQkv,
        at.rawQkv,
        p.queryNorm,
        at.invQuery!,
        perHead.query
      )
      backend.rmsNormBackward({ ...into, dWeight: g.keyNorm }, dQkv, at.rawQkv, p.keyNorm, at.invKey!, perHead.key)
    }
    backend.rmsNorm(at.normed, from.residual[l]!, p.norm, at.inv, norm)
    backend.linearBackward(
      { dX: dNormed, accumulate: false, dW: g.qkv, dBias: g.qkvBias },
      dQkv,
      at.normed,
      p.qkv,
      rows,
      dim,
      width
    )
    adapters?.backward(backend, l, "qkv", dNormed, dQkv, at.normed, rows)
    backend.rmsNormBackward(
      { dX, accumulate: true, dWeight: g.norm },
      dNormed,
      from.residual[l]!,
      p.norm,
      at.inv,
      norm
    )
  }
  for (let l = config.layers - 1; l >= 0; l--) layer(l)
  if (gradients.embed !== null) backend.embedBackward(gradients.embed, dX, ids, dim)
}
