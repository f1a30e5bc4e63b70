import type { AttentionShape, CacheShape } from "../backend.ts"

const dot = (a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number => {
  let sum = 0
  for (let c = 0; c < length; c++) sum += a[aStart + c]! * b[bStart + c]!
  return sum
}

/** First of the rows `begin … row` that `row` attends to: it sees itself and `window - 1` rows before it. */
const firstVisible = (begin: number, row: number, window: number): number =>
  window === 0 ? begin : Math.max(begin, row - window + 1)

/** cap · tanh(score / cap), or the score. */
const capped = (score: number, cap: number): number => cap === 0 ? score : cap * Math.tanh(score / cap)

/** Softmax of scores, in place; returns their log-sum-exp. */
const softmax = (scores: Float64Array): number => {
  let max = -Infinity
  for (const score of scores) max = Math.max(max, score)
  let sum = 0
  for (const score of scores) sum += Math.exp(score - max)
  const lse = max + Math.log(sum)
  for (let j = 0; j < scores.length; j++) scores[j] = Math.exp(scores[j]! - lse)
  return lse
}

/** out[i] = Σ_j softmax_j(scale · q[i] · k[j]) v[j] over the visible rows j of the same sequence. */
export const attention = (
  out: Float64Array,
  lse: Float64Array,
  qkv: Float64Array,
  starts: Int32Array,
  shape: AttentionShape
): void => {
  const { cap, headDim, heads, kvHeads, scale, window } = shape
  const width = (heads + 2 * kvHeads) * headDim
  for (let b = 0; b + 1 < starts.length; b++) {
    for (let i = starts[b]!; i < starts[b + 1]!; i++) {
      const first = firstVisible(starts[b]!, i, window)
      for (let h = 0; h < heads; h++) {
        const shared = Math.floor(h * kvHeads / heads)
        const query = i * width + h * headDim
        const key = (j: number) => j * width + (heads + shared) * headDim
        const value = (j: number) => j * width + (heads + kvHeads + shared) * headDim
        const probabilities = new Float64Array(i - first + 1)
        for (let j = first; j <= i; j++) {
          probabilities[j - first] = capped(scale * dot(qkv, query, qkv, key(j), headDim), cap)
        }
        lse[i * heads + h] = softmax(probabilities)
        for (let c = 0; c < headDim; c++) {
          let sum = 0
          for (let j = first; j <= i; j++) sum += probabilities[j - first]! * qkv[value(j) + c]!
          out[(i * heads + h) * headDim + c] = sum
        }
      }
    }
  }
}

/**
 * With p the attention probabilities and dP[j] = dOut · v[j]: dV[j] += p[j] dOut, and the score s[j] gets
 * dS[j] = p[j] (dP[j] − dOut · out), times 1 − (s / cap)² where scores are capped, from which dQ += scale · dS[j] k[j] and dK[j] += scale · dS[j] q.
 */
export const attentionBackward = (
  dQkv: Float64Array,
  dOut: Float64Array,
  qkv: Float64Array,
  out: Float64Array,
  lse: Float64Array,
  starts: Int32Array,
  shape: AttentionShape
): void => {
  const { cap, headDim, heads, kvHeads, scale, window } = shape
  const width = (heads + 2 * kvHeads) * headDim
  dQkv.fill(0)
  for (let b = 0; b + 1 < starts.length; b++) {
    for (let i = starts[b]!; i < starts[b + 1]!; i++) {
      for (let h = 0; h < heads; h++) {
        const shared = Math.floor(h * kvHeads / heads)
        const query = i * width + h * headDim
        const row = (i * heads + h) * headDim
        const mean = dot(dOut, row, out, row, headDim)
        for (let j = firstVisible(starts[b]!, i, window); j <= i; j++) {
          const key = j * width + (heads + shared) * headDim
          const value = j * width + (heads + kvHeads + shared) * headDim
          const score = capped(scale * dot(qkv, query, qkv, key, headDim), cap)
          const p = Math.exp(score - lse[i * heads + h]!)
          const slope = cap === 0 ? 1 : 1 - (score / cap) ** 2
          const dScore = scale * slope * p * (dot(dOut, row, qkv, value, headDim) - mean)
          for (let c = 0; c < headDim; c++) {
            dQkv[query + c]! += dScore * qkv[key + c]!
            dQkv[key + c]! += dScore * qkv[query + c]!
            dQkv[value + c]! += p * dOut[row + c]!
          }
        }
      }
    }
  }
}

/** Keys and values of row i go to position `positions[i]` of cache slot `slots[i]`. */
export const cacheWrite = (
  keys: Float64Array,
  values: Float64Array,
  qkv: Float64Array,
  slots: Int32Array,
  positions: Int32Array,
  shape: CacheShape
): void => {
  const { capacity, headDim, heads, kvHeads } = shape
  const width = (heads + 2 * kvHeads) * headDim
  const cached = kvHeads * headDim
  for (let i = 0; i < slots.length; i++) {
    const to = (slots[i]! * capacity + positions[i]!) * cached
    for (let c = 0; c < cached; c++) {
      keys[to + c] = qkv[i * width + heads * headDim + c]!
      values[to + c] = qkv[i * width + (heads + kvHeads) * headDim + c]!
    }
  }
}

/** A query row per slot against positions 0 … positions[i] of its cache. */
export const attentionDecode = (
  out: Float64Array,
  qkv: Float64Array,
  keys: Float64Array,
  values: Float64Array,
  slots: Int32Array,
  positions: Int32Array,
  shape: CacheShape
): void => {
  const { cap, capacity, headDim, heads, kvHeads, scale, window } = shape
  const width = (heads + 2 * kvHeads) * headDim
  for (let i = 0; i < slots.length; i++) {
    const last = positions[i]!
    const first = firstVisible(0, last, window)
    for (let h = 0; h < heads; h++) {
      const shared = Math.floor(h * kvHeads / heads)
      const at = (j: number) => ((slots[i]! * capacity + j) * kvHeads + shared) * headDim
      const probabilities = new Float64Array(last - first + 1)
      for (let j = first; j <= last; j++) {
        probabilities[j - first] = capped(scale * dot(qkv, i * width + h * headDim, keys, at(j), headDim), cap)
      }
      softmax(probabilities)
      for (let c = 0; c < headDim; c++) {
        let sum = 0
        for (let j = first; j <= last; j++) sum += probabilities[j - first]! * values[at(j) + c]!
        out[(i * heads + h) * headDim + c] = sum
      }
    }
  }
}
