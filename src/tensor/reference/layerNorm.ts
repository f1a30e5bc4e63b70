import type { LayerNormShape } from "../backend.ts"

/** out = weight · (x − mean) · inv + bias with inv = 1 / √(variance + eps) per row (Ba et al. 2016, eq. 4). */
export const layerNorm = (
  out: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array | null,
  stats: Float64Array,
  { dim, eps, rows }: LayerNormShape
): void => {
  for (let n = 0; n < rows; n++) {
    const row = x.subarray(n * dim, (n + 1) * dim)
    const mean = row.reduce((sum, value) => sum + value, 0) / dim
    const inv = 1 / Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / dim + eps)
    stats[2 * n] = mean
    stats[2 * n + 1] = inv
    for (let c = 0; c < dim; c++) out[n * dim + c] = weight[c]! * (row[c]! - mean) * inv + (bias?.[c] ?? 0)
  }
}

/** With u = (x − mean) · inv and d = dOut · weight: dX = inv · (d − mean(d) − u · mean(d · u)), dWeight += Σ dOut · u, dBias += Σ dOut. */
export const layerNormBackward = (
  dX: Float64Array,
  accumulate: boolean,
  dWeight: Float64Array | null,
  dBias: Float64Array | null,
  dOut: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  stats: Float64Array,
  { dim, rows }: LayerNormShape
): void => {
  for (let n = 0; n < rows; n++) {
    const [mean, inv] = [stats[2 * n]!, stats[2 * n + 1]!]
    let [sum, projection] = [0, 0]
    for (let c = 0; c < dim; c++) {
      const d = dOut[n * dim + c]! * weight[c]!
      sum += d / dim
      projection += d * (x[n * dim + c]! - mean) * inv / dim
    }
    for (let c = 0; c < dim; c++) {
      const at = n * dim + c
      const u = (x[at]! - mean) * inv
      const gradient = dOut[at]!
      if (dWeight !== null) dWeight[c]! += gradient * u
      if (dBias !== null) dBias[c]! += gradient
      dX[at] = (accumulate ? dX[at]! : 0) + inv * (gradient * weight[c]! - sum - u * projection)
    }
  }
}
