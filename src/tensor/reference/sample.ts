import type { SampleShape } from "../backend.ts"

/** Index of the largest, the lowest of equals; 0 when there are only NaNs. */
const argmax = (x: Float64Array): number => {
  let best = 0
  for (let i = 1; i < x.length; i++) if (x[i]! > x[best]!) best = i
  return best
}

/** The first token whose cumulative softmax(z / temperature) exceeds u. */
const inverse = (z: Float64Array, max: number, temperature: number, u: number): number => {
  const weights = z.map((x) => Math.exp((x - max) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let cumulative = 0
  let last = 0
  for (let i = 0; i < z.length; i++) {
    if (!(weights[i]! > 0)) continue
    cumulative += weights[i]! / total
    last = i
    if (u < cumulative) break
  }
  return last
}

/** logp = z[token] − max − log Σ exp(z − max) */
export const sample = (
  tokens: Float64Array,
  logps: Float64Array,
  logits: Float64Array,
  uniforms: Float64Array,
  { rows, temperature, vocab }: SampleShape
): void => {
  for (let n = 0; n < rows; n++) {
    const z = logits.subarray(n * vocab, (n + 1) * vocab)
    const max = z[argmax(z)]!
    const token = temperature === 0
      ? argmax(z)
      : inverse(z, max, temperature, uniforms[2 * n]! + uniforms[2 * n + 1]!)
    tokens[n] = token
    logps[n] = z[token]! - max - Math.log(z.reduce((sum, x) => sum + Math.exp(x - max), 0))
  }
}
