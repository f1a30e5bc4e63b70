import type { GeluShape } from "../backend.ts"

/** The error function in double precision: its series up to 2, from there on the continued fraction of its complement. */
const erf = (x: number): number => {
  const size = Math.abs(x)
  if (size > 6) return Math.sign(x)
  if (size <= 2) {
    let [term, sum] = [x, x]
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= -x * x / n
      sum += term / (2 * n + 1)
    }
    return 2 / Math.sqrt(Math.PI) * sum
  }
  let fraction = 0
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction)
  return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (size + fraction))
}

/** √(2/π) and the cube's factor of the approximation. */
const [inner, cubic] = [Math.sqrt(2 / Math.PI), 0.044715]

/** gelu(x) = x Φ(x), and its slope; Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 (Hendrycks and Gimpel 2016, §2). */
const geluOf = (x: number, tanh: boolean): { readonly value: number; readonly slope: number } => {
  if (!tanh) {
    const phi = (1 + erf(x / Math.SQRT2)) / 2
    return { value: x * phi, slope: phi + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) }
  }
  const t = Math.tanh(inner * (x + cubic * x ** 3))
  const dT = (1 - t * t) * inner * (1 + 3 * cubic * x * x)
  return { value: x * (1 + t) / 2, slope: (1 + t + x * dT) / 2 }
}

export const gelu = (out: Float64Array, x: Float64Array, { dim, gated, rows, tanh }: GeluShape): void => {
  const width = gated ? 2 * dim : dim
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < dim; c++) {
      const { value } = geluOf(x[n * width + c]!, tanh)
      out[n * dim + c] = gated ? value * x[n * width + dim + c]! : value
    }
  }
}

/** dGate = dOut · up · gelu′(gate), dUp = dOut · gelu(gate); dX = dOut · gelu′(x) without a gate. `dX` may be `x`. */
export const geluBackward = (
  dX: Float64Array,
  dOut: Float64Array,
  x: Float64Array,
  { dim, gated, rows, tanh }: GeluShape
): void => {
  const width = gated ? 2 * dim : dim
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < dim; c++) {
      const at = n * width + c
      const { slope, value } = geluOf(x[at]!, tanh)
      const gradient = dOut[n * dim + c]!
      dX[at] = gradient * slope * (gated ? x[at + dim]! : 1)
      if (gated) dX[at + dim] = gradient * value
    }
  }
}
