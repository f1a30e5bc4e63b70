import type { AttentionShape, Backend, HeadShape, Ints, Tensor } from "../../tensor/backend.ts"

const nothing = (): void => {}

/** What the calls so far would have cost. */
export interface Spent {
  /**
   * Useful floating-point operations: 2 · rows · inputs · outputs of each product, and of attention the half that causality
   * leaves. What a kernel computes again for itself (logits, probabilities) counts for nothing, and so do element-wise
   * operations and look-ups; what the engine asks for again (`recompute`) counts again.
   */
  readonly flops: number
}

export interface Counting extends Backend {
  readonly spent: () => Spent
  readonly flops: () => number
  /** Forgets the peak: what is held now is the most held from here on. */
  readonly restart: () => void
}

/**
 * Query–key pairs that a causal sequence of `length` tokens needs, half of the square; with a window, the band below the
 * diagonal. The pairs of one token more are the difference, so that decoding costs what one pass over the whole does.
 */
const pairs = (length: number, window: number): number =>
  window === 0 || length <= window ? length ** 2 / 2 : window ** 2 / 2 + window * (length - window)

/**
 * A backend that computes nothing and counts bytes and floating-point operations: run on it, the engine's own code says how much memory it takes and how
 * much work it is, with no second set of formulas to keep in step. What is read from it is 0 everywhere.
 *
 * Buffers are what they are on a backend of 32-bit reals whose buffers begin at multiples of `alignment` bytes; what a backend
 * needs besides (its code, scratch of its threads, gaps between buffers) is not counted.
 */
export const counting = (
  { alignment = 64, realBytes = 4 }: { readonly alignment?: number; readonly realBytes?: number } = {}
): Counting => {
  const sizes = new WeakMap<Tensor | Ints, number>()
  let live = 0
  let peak = 0
  let flops = 0
  /** What was written last: where sequences begin, and at which positions tokens are decoded. */
  const written = new WeakMap<Ints, Int32Array>()
  const product = (rows: number, inputs: number, outputs: number, times = 1): void => {
    flops += 2 * times * rows * inputs * outputs
  }
  /** Scores and weighted values: two products over the pairs of every head. */
  const attend = (seen: number, { headDim, heads }: AttentionShape, times = 1): void => {
    flops += 4 * times * seen * heads * headDim
  }
  const blocks = (starts: Ints, { window }: AttentionShape): number => {
    const at = written.get(starts)!
    let sum = 0
    for (let b = 1; b < at.length; b++) sum += pairs(at[b]! - at[b - 1]!, window)
    return sum
  }
  const allocate = <B extends Tensor | Ints>(buffer: B, bytes: number): B => {
    // An empty buffer has an address too.
    const size = Math.ceil(Math.max(bytes, alignment - 1) / alignment) * alignment
    sizes.set(buffer, size)
    live += size
    peak = Math.max(peak, live)
    return buffer
  }
  const backend: Counting = {
    name: "counting",
    realBytes,
    addressable: Infinity,
    precisions: ["f32", "bf16"],
    at: () => backend,
    reals: (length) => allocate<Tensor>({ dtype: "real", length }, realBytes * length),
    ints: (length) => allocate<Ints>({ dtype: "int", length }, 4 * length),
    free: (buffer) => {
      live -= sizes.get(buffer)!
    },
    slice: (_, __, length) => ({ dtype: "real", length }),
    memory: () => ({ live, peak }),
    spent: () => ({ flops }),
    flops: () => flops,
    restart: () => {
      peak = live
    },
    read: ({ length }) => new Float32Array(length),
    packedLength: (inputs, outputs) => inputs * outputs,
    sumSquares: () => 0,
    write: nothing,
    writeInts: (to, data) => {
      written.set(to, data.slice())
    },
    zero: nothing,
    dispose: nothing,
    add: nothing,
    copy: nothing,
    embed: nothing,
    embedBackward: nothing,
    linear: (_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs),
    packWeight: nothing,
    linearPacked: (_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs),
    linearBackward: ({ dW, dX }, _, __, ___, rows, inputs, outputs) =>
      product(rows, inputs, outputs, (dX === null ? 0 : 1) + (dW === null ? 0 : 1)),
    rmsNorm: nothing,
    rmsNormBackward: nothing,
    rope: nothing,
    attention: (_, __, ___, starts, shape) => attend(blocks(starts, shape), shape),
    attentionBackward: (_, __, ___, ____, _____, starts, shape) => attend(blocks(starts, shape), shape, 2),
    cacheWrite: nothing,
    attentionDecode: (_, __, ___, ____, _____, positions, shape) => {
      for (const position of written.get(positions)!) {
        attend(pairs(position + 1, shape.window) - pairs(position, shape.window), shape)
      }
    },
    swiglu: nothing,
    swigluBackward: nothing,
    head: (_, __, ___, ____, { dim, rows, vocab }: HeadShape) => product(rows, dim, vocab),
    headBackward: ({ dW }, _, __, ___, ____, _____, { dim, rows, vocab }) =>
      product(rows, dim, vocab, dW === null ? 1 : 2),
    sample: nothing,
    gatherRows: nothing,
    scatterRows: nothing,
    adamw: nothing
  }
  return backend
}
