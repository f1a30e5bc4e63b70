const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** out = silu(gate) · up with silu(x) = x σ(x) (Shazeer 2020, eq. 6). */
export const swiglu = (out: Float64Array, gateUp: Float64Array, rows: number, dim: number): void => {
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < dim; c++) {
      const gate = gateUp[n * 2 * dim + c]!
      const up = gateUp[n * 2 * dim + dim + c]!
      out[n * dim + c] = gate * sigmoid(gate) * up
    }
  }
}

/** dGate = dOut · up · σ(gate) (1 + gate (1 − σ(gate))), dUp = dOut · silu(gate). `dGateUp` may be `gateUp`. */
export const swigluBackward = (
  dGateUp: Float64Array,
  dOut: Float64Array,
  gateUp: Float64Array,
  rows: number,
  dim: number
): void => {
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < dim; c++) {
      const gateAt = n * 2 * dim + c
      const upAt = gateAt + dim
      const gate = gateUp[gateAt]!
      const up = gateUp[upAt]!
      const s = sigmoid(gate)
      dGateUp[gateAt] = dOut[n * dim + c]! * up * s * (1 + gate * (1 - s))
      dGateUp[upAt] = dOut[n * dim + c]! * gate * s
    }
  }
}
