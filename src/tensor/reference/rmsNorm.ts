import type { NormShape } from "../backend.ts"

/** out = (plus + weight) · x · inv with inv = 1 / √(mean(x²) + eps) per group (Zhang and Sennrich 2019, eq. 4). */
export const rmsNorm = (
  out: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  inv: Float64Array,
  shape: NormShape
): void => {
  const { dim, eps, groups, offset, plus, rows, stride } = shape
  for (let n = 0; n < rows; n++) {
    for (let g = 0; g < groups; g++) {
      const at = n * stride + offset + g * dim
      let squares = 0
      for (let c = 0; c < dim; c++) squares += x[at + c]! * x[at + c]!
      const scale = 1 / Math.sqrt(squares / dim + eps)
      inv[n * groups + g] = scale
      for (let c = 0; c < dim; c++) out[at + c] = (plus + weight[c]!) * x[at + c]! * scale
    }
  }
}

/**
 * With u = x · inv and d = dOut · (plus + weight): dX = inv · (d − u · mean(d · u)), dWeight += Σ dOut · u. Elements are read
 * before they are written, so `dX` may be `dOut`.
 */
export const rmsNormBackward = (
  dX: Float64Array,
  accumulate: boolean,
  dWeight: Float64Array | null,
  dOut: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  inv: Float64Array,
  shape: NormShape
): void => {
  const { dim, groups, offset, plus, rows, stride } = shape
  for (let n = 0; n < rows; n++) {
    for (let g = 0; g < groups; g++) {
      const at = n * stride + offset + g * dim
      const scale = inv[n * groups + g]!
      let projection = 0
      for (let c = 0; c < dim; c++) projection += dOut[at + c]! * (plus + weight[c]!) * x[at + c]! * scale
      projection /= dim
      for (let c = 0; c < dim; c++) {
        const normalised = x[at + c]! * scale
        const gradient = dOut[at + c]!
        if (dWeight !== null) dWeight[c]! += gradient * normalised
        dX[at + c] = (accumulate ? dX[at + c]! : 0) + scale * (gradient * (plus + weight[c]!) - normalised * projection)
      }
    }
  }
}
