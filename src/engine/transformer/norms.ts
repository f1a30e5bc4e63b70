import type { ModelConfig } from "../../model/architecture.ts"
import { qkNormSize } from "../../model/parameters.ts"
import type { Backend, NormShape, Tensor } from "../../tensor/backend.ts"
import type { NormParameters } from "./layout.ts"

/** Numbers that a norm keeps of each row for its backward pass: 1 / rms, or mean and 1 / deviation. */
export const statsOf = ({ norm }: ModelConfig): number => norm.kind === "layer" ? 2 : 1

const rowNorm = ({ dim, norm: { eps, plus } }: ModelConfig, rows: number): NormShape => ({
  rows,
  groups: 1,
  dim,
  stride: dim,
  offset: 0,
  eps,
  plus
})

/** out = the norm of whole rows of x [rows, dim] */
export const normForward = (
  backend: Backend,
  config: ModelConfig,
  out: Tensor,
  x: Tensor,
  { bias, weight }: NormParameters,
  stats: Tensor,
  rows: number
): void => {
  const { dim, norm: { eps, kind } } = config
  if (kind === "layer") backend.layerNorm(out, x, weight, bias, stats, { rows, dim, eps })
  else backend.rmsNorm(out, x, weight, stats, rowNorm(config, rows))
}

/** Sets dX, or adds to it; adds to the gradients of weight and bias. */
export const normBackward = (
  backend: Backend,
  config: ModelConfig,
  into: { readonly dX: Tensor; readonly accumulate: boolean; readonly gradients: NormParameters | null | undefined },
  dOut: Tensor,
  x: Tensor,
  { weight }: NormParameters,
  stats: Tensor,
  rows: number
): void => {
  const { dim, norm: { eps, kind } } = config
  const { accumulate, dX, gradients } = into
  const dWeight = gradients?.weight ?? null
  if (kind === "layer") {
    const out = { dX, accumulate, dWeight, dBias: gradients?.bias ?? null }
    backend.layerNormBackward(out, dOut, x, weight, stats, { rows, dim, eps })
  } else backend.rmsNormBackward({ dX, accumulate, dWeight }, dOut, x, weight, stats, rowNorm(config, rows))
}

/** The norms of queries and keys inside a fused qkv row: of each head (Qwen 3), or of all at once (OLMo 2). */
export const qkNorms = (
  config: ModelConfig,
  rows: number
): { readonly query: NormShape; readonly key: NormShape } => {
  const { headDim, heads, kvHeads, norm: { eps, plus } } = config
  const stride = (heads + 2 * kvHeads) * headDim
  const of = (count: number, offset: number): NormShape => {
    const dim = qkNormSize(config, count)
    return { rows, groups: count * headDim / dim, dim, stride, offset, eps, plus }
  }
  return { query: of(heads, 0), key: of(kvHeads, heads * headDim) }
}
