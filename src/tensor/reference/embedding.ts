/** out[n, :] = table[ids[n], :] */
export const embed = (out: Float64Array, table: Float64Array, ids: Int32Array, dim: number): void => {
  for (let n = 0; n < ids.length; n++) {
    for (let c = 0; c < dim; c++) out[n * dim + c] = table[ids[n]! * dim + c]!
  }
}

/** dTable[ids[n], :] += dOut[n, :] */
export const embedBackward = (dTable: Float64Array, dOut: Float64Array, ids: Int32Array, dim: number): void => {
  for (let n = 0; n < ids.length; n++) {
    for (let c = 0; c < dim; c++) dTable[ids[n]! * dim + c]! += dOut[n * dim + c]!
  }
}

/** out[rows[i], :] = x[i, :] and every other row of `out` is 0. */
export const scatterRows = (out: Float64Array, x: Float64Array, rows: Int32Array, dim: number): void => {
  out.fill(0)
  for (let i = 0; i < rows.length; i++) {
    for (let c = 0; c < dim; c++) out[rows[i]! * dim + c] = x[i * dim + c]!
  }
}
