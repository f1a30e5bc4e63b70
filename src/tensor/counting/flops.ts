import type { AttentionShape, Backend, HeadShape, Ints } from "../backend.ts"

/**
 * Query–key pairs that a causal sequence of `length` tokens needs, half of the square; with a window, the band below
 * the diagonal. A further token costs the difference, so decoding costs as much as one pass over the whole.
 */
export const pairs = (length: number, window: number): number =>
  window === 0 || length <= window ? length ** 2 / 2 : window ** 2 / 2 + window * (length - window)

const product = (rows: number, inputs: number, outputs: number, times = 1): number =>
  2 * times * rows * inputs * outputs

/** Scores and weighted values: two products over the pairs of every head. */
const attend = (seen: number, { headDim, heads }: AttentionShape, times = 1): number =>
  4 * times * seen * heads * headDim

/** Query–key pairs of sequences that begin at `at`. */
const summed = (at: Int32Array, window: number): number => {
  let sum = 0
  for (let b = 1; b < at.length; b++) sum += pairs(at[b]! - at[b - 1]!, window)
  return sum
}

/** The kernels whose work counts. */
export type Working =
  | "linear"
  | "linearPacked"
  | "linearBackward"
  | "attention"
  | "attentionBackward"
  | "attentionDecode"
  | "head"
  | "headBackward"

type Work = { readonly [K in Working]: (...args: Parameters<Backend[K]>) => number }

/**
 * Useful floating-point operations of a call of each kernel, from its arguments: the only definition, for plans and
 * runs. `written` gives the last written integers.
 */
export const workOf = (written: (ints: Ints) => Int32Array): Work => ({
  linear: (_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs),
  linearPacked: (_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs),
  linearBackward: ({ dW, dX }, _, __, ___, rows, inputs, outputs) =>
    product(rows, inputs, outputs, (dX === null ? 0 : 1) + (dW === null ? 0 : 1)),
  attention: (_, __, ___, starts, shape) => attend(summed(written(starts), shape.window), shape),
  attentionBackward: (_, __, ___, ____, _____, starts, shape) =>
    attend(summed(written(starts), shape.window), shape, 2),
  attentionDecode: (_, __, ___, ____, _____, positions, shape) => {
    const all = written(positions)
    let seen = 0
    // One further token without a window: (n + 1)² / 2 − n² / 2. Not by way of squares: it is needed for every step.
    if (shape.window === 0) { for (let i = 0; i < all.length; i++) seen += all[i]! + 0.5 }
    else for (const at of all) seen += pairs(at + 1, shape.window) - pairs(at, shape.window)
    return attend(seen, shape)
  },
  head: (_, __, ___, ____, { dim, rows, vocab }: HeadShape) => product(rows, dim, vocab),
  headBackward: ({ dW }, _, __, ___, ____, _____, { dim, rows, vocab }) =>
    product(rows, dim, vocab, dW === null ? 1 : 2)
})
