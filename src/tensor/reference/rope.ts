import type { RopeShape } from "../backend.ts"

/**
 * Rotates the first `heads` heads of each row (Su et al. 2021, in the half-split layout of Hugging Face):
 * (a, b) → (a·cos − b·sin, b·cos + a·sin), or by the opposite angle when `inverse`.
 */
export const rope = (
  x: Float64Array,
  cos: Float64Array,
  sin: Float64Array,
  positions: Int32Array,
  shape: RopeShape
): void => {
  const half = shape.turned / 2
  for (let n = 0; n < positions.length; n++) {
    for (let h = 0; h < shape.heads; h++) {
      const at = n * shape.stride + h * shape.headDim
      for (let c = 0; c < half; c++) {
        const angle = positions[n]! * half + c
        const cosine = cos[angle]!
        const sine = shape.inverse ? -sin[angle]! : sin[angle]!
        const a = x[at + c]!
        const b = x[at + half + c]!
        x[at + c] = a * cosine - b * sine
        x[at + half + c] = b * cosine + a * sine
      }
    }
  }
}
