/** The shape of a described model, as that of the Llama of the same work: its matrices have as many elements as a token passes. */
import type { Shape } from "../../../dsl/Checkpoint.ts"
import { llamaStructure } from "../../model/architecture.ts"

/** Width of a gated feed-forward with as many parameters: of the experts that a token passes, where there are some. */
const ffnOf = ({ experts, ffn, gated = true }: Shape): number => {
  const width = experts === undefined ? ffn : (experts.active + (experts.shared ?? 0)) * experts.ffn
  return gated ? width : Math.round(2 * width / 3)
}

/** Parameters of the experts that a token does not pass. */
export const idleIn = ({ dim, experts, gated = true, layers }: Shape): number =>
  experts === undefined
    ? 0
    : (layers - (experts.dense ?? 0)) * (experts.count - experts.active) * (gated ? 3 : 2) * experts.ffn * dim

export const describedShape = (shape: Shape) => {
  const { context, dim, headDim = dim / shape.heads, heads, kvHeads = heads, layers, tied = false, vocab } = shape
  return {
    ...llamaStructure,
    context,
    dim,
    ffn: ffnOf(shape),
    headDim,
    heads,
    kvHeads,
    layers,
    vocab,
    tied
  }
}
