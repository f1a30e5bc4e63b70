/** out[n, o] = Σ_i w[o, i] x[n, i] + bias[o] + residual[n, o] */
export const linear = (
  out: Float64Array,
  x: Float64Array,
  w: Float64Array,
  bias: Float64Array | null,
  rows: number,
  inputs: number,
  outputs: number,
  residual: Float64Array | null
): void => {
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0
      for (let i = 0; i < inputs; i++) sum += w[o * inputs + i]! * x[n * inputs + i]!
      out[n * outputs + o] = sum + (bias === null ? 0 : bias[o]!) + (residual === null ? 0 : residual[n * outputs + o]!)
    }
  }
}

/** dX[n, i] = Σ_o dOut[n, o] w[o, i], added to the old values when `accumulate` */
export const linearInputGradient = (
  dX: Float64Array,
  accumulate: boolean,
  dOut: Float64Array,
  w: Float64Array,
  rows: number,
  inputs: number,
  outputs: number
): void => {
  if (!accumulate) dX.fill(0)
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) dX[n * inputs + i]! += dOut[n * outputs + o]! * w[o * inputs + i]!
    }
  }
}

/** dW[o, i] += Σ_n dOut[n, o] x[n, i] */
export const linearWeightGradient = (
  dW: Float64Array,
  dOut: Float64Array,
  x: Float64Array,
  rows: number,
  inputs: number,
  outputs: number
): void => {
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) dW[o * inputs + i]! += dOut[n * outputs + o]! * x[n * inputs + i]!
    }
  }
}

/** dBias[o] += Σ_n dOut[n, o] */
export const linearBiasGradient = (dBias: Float64Array, dOut: Float64Array, rows: number, outputs: number): void => {
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) dBias[o]! += dOut[n * outputs + o]!
  }
}
