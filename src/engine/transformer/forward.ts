import type { Attention, FeedForward, NormPlace } from "../../model/architecture.ts"
import type { Ints, Tensor } from "../../tensor/backend.ts"
import type { Activations } from "./activations.ts"
import { denseFeedForward } from "./denseFeedForward.ts"
import { groupedAttention } from "./groupedAttention.ts"
import { normForward } from "./norms.ts"
import { routedFeedForward } from "./routedFeedForward.ts"
import type { Pass, Sublayer } from "./sublayer.ts"

/** The forms of a layer's two sublayers. */
export const attentions: Readonly<Record<Attention["form"], Sublayer>> = { grouped: groupedAttention }
export const feedForwards: Readonly<Record<FeedForward["form"], Sublayer>> = {
  dense: denseFeedForward,
  routed: routedFeedForward
}

/** The input of a sublayer of layer `l` from the stream x: normed where there is a norm. */
export const normed = (pass: Pass, from: Activations, l: number, place: NormPlace, x: Tensor): Tensor => {
  const norm = pass.parameters.layers[l]!.norms[place]
  if (norm === undefined) return x
  const at = from.layers[l]!
  normForward(pass.backend, pass.config, at.normed, x, norm, at.stats[place]!, from.rows)
  return at.normed
}

/** The input of the feed-forward of layer `l`; in parallel layers without a norm of its own, that of attention. */
export const fed = (pass: Pass, from: Activations, l: number, mixes: () => Tensor): Tensor => {
  if (!pass.config.parallel) return normed(pass, from, l, "mlpIn", from.layers[l]!.middle)
  const own = pass.parameters.layers[l]!.norms.mlpIn !== undefined
  return own ? normed(pass, from, l, "mlpIn", from.residual[l]!) : mixes()
}

/**
 * Layer `l` from its input x: middle = x + norm(attention(norm x)), next = middle + norm(mlp(norm middle)), with the norms that the
 * architecture has; in parallel layers the feed-forward reads x too. Without `next` it stops where nothing more is needed for the
 * gradient.
 */
export const layerForward = (pass: Pass, from: Activations, l: number, next: Tensor | null): void => {
  const { backend, config, parameters } = pass
  const { rows } = from
  const { norms } = parameters.layers[l]!
  const at = from.layers[l]!
  const x = from.residual[l]!
  const { attention, mlp } = config.blocks[l]!
  /** sum = stream + the sublayer's output, normed where there is a norm. */
  const added = (
    sublayer: Sublayer,
    place: "attentionOut" | "mlpOut",
    sum: Tensor | null,
    stream: Tensor,
    raw: Tensor | null
  ): void => {
    const norm = norms[place]
    if (norm === undefined) {
      if (sum !== null) sublayer.end(pass, at, l, sum, stream, rows)
      return
    }
    sublayer.end(pass, at, l, raw!, null, rows)
    normForward(backend, config, at.branch!, raw!, norm, at.stats[place]!, rows)
    if (sum === null) return
    if (sum !== stream) backend.copy(sum, stream)
    backend.add(sum, at.branch!)
  }
  const mixes = normed(pass, from, l, "attentionIn", x)
  attentions[attention.form].forward(pass, at, l, mixes, rows)
  added(attentions[attention.form], "attentionOut", at.middle, x, at.mixed)
  feedForwards[mlp.form].forward(pass, at, l, fed(pass, from, l, () => mixes), rows)
  added(feedForwards[mlp.form], "mlpOut", next, at.middle, at.output)
}

/** The decoder without its head: fills `into`, whose `final` is the normed hidden state of every token row. */
export const forward = (pass: Pass, into: Activations, ids: Ints): void => {
  const { backend, config, parameters, positions } = pass
  const { dim, embedScale, head, layers, logitScale } = config
  const { rows } = into
  const first = into.residual[0]!
  backend.embed(first, parameters.embed, ids, dim)
  if (embedScale !== 1) backend.scale(first, embedScale)
  if (parameters.positions !== null) {
    backend.embed(into.final, parameters.positions, positions, dim)
    backend.add(first, into.final)
  }
  for (let l = 0; l < layers; l++) layerForward(pass, into, l, into.residual[l + 1]!)
  normForward(backend, config, into.final, into.residual[layers]!, parameters.norm, into.finalStats, rows)
  if (logitScale !== 1 && head === "lm") backend.scale(into.final, logitScale)
}
