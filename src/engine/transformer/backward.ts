import type { NormPlace } from "../../model/architecture.ts"
import type { Ints, Tensor } from "../../tensor/backend.ts"
import type { Activations } from "./activations.ts"
import { attentions, fed, feedForwards, layerForward, normed } from "./forward.ts"
import { normBackward } from "./norms.ts"
import type { BackwardPass } from "./sublayer.ts"

/**
 * The gradient of `forward`: adds to `gradients`, given the gradient `dFinal` [N, d] of the normed hidden states. It
 * uses the activations up (the gradient of a gate overwrites the gate), so each forward pass has one backward pass.
 * Shared buffers are computed again: norms and gated values, or, where they share all buffers, the whole layer from its input.
 */
export const backward = (pass: BackwardPass, from: Activations, dFinal: Tensor, ids: Ints): void => {
  const { backend, config, gradients, parameters, positions, space } = pass
  const { dim, embedScale, head, layers, logitScale, parallel } = config
  const { rows } = from
  // Gradient of the residual stream, carried from the last layer to the embedding.
  const dX = space.reals("dResidual", rows * dim)
  const dNormed = space.reals("dNormed", rows * dim)
  const dFed = parallel ? space.reals("dFed", rows * dim) : dNormed
  if (logitScale !== 1 && head === "lm") backend.scale(dFinal, logitScale)
  const final = { dX, accumulate: false, gradients: gradients.norm }
  normBackward(backend, config, final, dFinal, from.residual[layers]!, parameters.norm, from.finalStats, rows)

  const layer = (l: number): void => {
    const { norms } = parameters.layers[l]!
    const g = gradients.layers?.[l]
    const at = from.layers[l]!
    const x = from.residual[l]!
    const { attention, mlp } = config.blocks[l]!
    const byNorm = (place: NormPlace, into: Tensor, accumulate: boolean, dOut: Tensor, input: Tensor): void => {
      const sums = { dX: into, accumulate, gradients: g?.norms[place] }
      normBackward(backend, config, sums, dOut, input, norms[place]!, at.stats[place]!, rows)
    }
    /** The gradient of the output of a sublayer, before its norm. */
    const ofOutput = (place: "attentionOut" | "mlpOut", raw: Tensor | null): Tensor => {
      if (norms[place] === undefined) return dX
      const dBranch = space.reals("dBranch", rows * dim)
      byNorm(place, dBranch, false, dX, raw!)
      return dBranch
    }
    /** Adds the gradient of the input of a sublayer to that of the stream. */
    const toStream = (place: "attentionIn" | "mlpIn", dIn: Tensor, stream: Tensor): void => {
      if (norms[place] === undefined) backend.add(dX, dIn)
      else byNorm(place, dX, true, dIn, stream)
    }
    const mixes = () => normed(pass, from, l, "attentionIn", x)
    if (from.shared && l < layers - 1) layerForward(pass, from, l, null)
    // The feed-forward came last: shared buffers still hold its input and its gated values.
    const fresh = from.shared || l === layers - 1
    const feedNorm = norms.mlpIn ?? (parallel ? norms.attentionIn : undefined)
    const feeds = () => fresh && feedNorm !== undefined ? at.normed : fed(pass, from, l, mixes)
    feedForwards[mlp.form].backward(pass, at, l, dFed, ofOutput("mlpOut", at.output), feeds, rows, fresh)
    if (!parallel) toStream("mlpIn", dFed, at.middle)

    attentions[attention.form].backward(pass, at, l, dNormed, ofOutput("attentionOut", at.mixed), mixes, rows, fresh)
    if (parallel && norms.mlpIn !== undefined) toStream("mlpIn", dFed, x)
    else if (parallel) backend.add(dNormed, dFed)
    toStream("attentionIn", dNormed, x)
  }
  for (let l = layers - 1; l >= 0; l--) layer(l)
  if (gradients.positions !== null) backend.embedBackward(gradients.positions, dX, positions, dim)
  if (gradients.embed === null) return
  if (embedScale !== 1) backend.scale(dX, embedScale)
  backend.embedBackward(gradients.embed, dX, ids, dim)
}
