import type { HeadShape } from "../backend.ts"

/** z = w h[n], capped, / temperature */
const logits = (z: Float64Array, h: Float64Array, w: Float64Array, n: number, shape: HeadShape): void => {
  const { cap, dim, temperature, vocab } = shape
  for (let v = 0; v < vocab; v++) {
    let sum = 0
    for (let c = 0; c < dim; c++) sum += w[v * dim + c]! * h[n * dim + c]!
    z[v] = (cap === 0 ? sum : cap * Math.tanh(sum / cap)) / temperature
  }
}

/** logp = z[target] − lse, lse = log Σ exp z, entropy = −Σ p log p = lse − Σ p z. */
export const head = (
  logps: Float64Array,
  lse: Float64Array,
  entropy: Float64Array,
  h: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  shape: HeadShape
): void => {
  const z = new Float64Array(shape.vocab)
  for (let n = 0; n < shape.rows; n++) {
    logits(z, h, w, n, shape)
    let max = -Infinity
    for (const logit of z) max = Math.max(max, logit)
    let sum = 0
    for (const logit of z) sum += Math.exp(logit - max)
    const logSum = max + Math.log(sum)
    let surprise = 0
    for (const logit of z) surprise += Math.exp(logit - logSum) * (logSum - logit)
    lse[n] = logSum
    logps[n] = z[targets[n]!]! - logSum
    entropy[n] = surprise
  }
}

/** dz[v] = dLogp (1[v = target] − p[v]), times 1 − (logit / cap)² where logits are capped; dH = Σ_v dz[v] w[v] / temperature; dW[v] += dz[v] h / temperature. */
export const headBackward = (
  dH: Float64Array,
  dW: Float64Array | null,
  dLogps: Float64Array,
  h: Float64Array,
  w: Float64Array,
  targets: Int32Array,
  lse: Float64Array,
  shape: HeadShape
): void => {
  const { cap, dim, rows, temperature, vocab } = shape
  const z = new Float64Array(vocab)
  dH.fill(0)
  for (let n = 0; n < rows; n++) {
    logits(z, h, w, n, shape)
    for (let v = 0; v < vocab; v++) {
      const indicator = v === targets[n]! ? 1 : 0
      const slope = cap === 0 ? 1 : 1 - (z[v]! * temperature / cap) ** 2
      const gradient = slope * dLogps[n]! * (indicator - Math.exp(z[v]! - lse[n]!)) / temperature
      for (let c = 0; c < dim; c++) {
        dH[n * dim + c]! += gradient * w[v * dim + c]!
        if (dW !== null) dW[v * dim + c]! += gradient * h[n * dim + c]!
      }
    }
  }
}
