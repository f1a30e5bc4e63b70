import type { AttentionShape, Backend, HeadShape, Ints, Tensor } from "../../tensor/backend.ts"
import { type Phase, type Term, termOf } from "./terms.ts"

/** What some calls would have cost. */
export interface Spent {
  /**
   * Useful floating-point operations: 2 · rows · inputs · outputs of each product, and of attention the half that causality
   * leaves. What a kernel computes again for itself (logits, probabilities) counts for nothing, and so do element-wise
   * operations and look-ups; what the engine asks for again (`recompute`) counts again.
   */
  readonly flops: number
  /** Kernels called. */
  readonly calls: number
  /** Bytes that they read and write at least: each buffer once for each kernel that gets it, of tables and caches what is used. */
  readonly traffic: number
}

/** What was held at one time. */
export interface Held {
  readonly bytes: number
  /** They add up to `bytes`. */
  readonly terms: ReadonlyMap<Term, number>
}

export interface Counting extends Backend {
  readonly spent: () => Spent
  /** The same by phase; what is asked for outside of any is in none. */
  readonly spentIn: () => ReadonlyMap<Phase, Spent>
  /** The most held in each phase that there was since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  /** What `work` asks for belongs to this phase, `times` over; in `spent` it is counted once. */
  readonly during: <A>(phase: Phase, work: () => A, times?: number) => A
  /** Forgets the peaks: what is held now is the most held from here on. */
  readonly restart: () => void
}

/**
 * Query–key pairs that a causal sequence of `length` tokens needs, half of the square; with a window, the band below the
 * diagonal. The pairs of one token more are the difference, so that decoding costs what one pass over the whole does.
 */
const pairs = (length: number, window: number): number =>
  window === 0 || length <= window ? length ** 2 / 2 : window ** 2 / 2 + window * (length - window)

/** Keys that the queries of a causal sequence read, each its own too. */
const keysRead = (length: number, window: number): number =>
  pairs(length, window) + Math.min(length, window === 0 ? length : window) / 2

/** Nobody looks into what is longer: it is parameters or moments on their way to a file. */
const mostRead = 2 ** 24

/** An array by its length alone; what is computed of it, number by number, is as long. */
export const unread = (length: number): Float32Array => {
  const array: Float32Array = Object.create(Float32Array.prototype, {
    length: { value: length },
    map: { value: () => array }
  })
  return array
}

/** Elements of the buffers among the arguments of a kernel; a kernel of several results has them in its first. */
const elementsOf = (args: ReadonlyArray<unknown>): number => {
  let sum = 0
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as Partial<Tensor> | null | undefined
    if (arg?.dtype !== undefined) sum += arg.length!
    else if (i === 0) {
      for (const one of Object.values(arg as object)) sum += (one as Partial<Tensor> | null)?.length ?? 0
    }
  }
  return sum
}

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
  const sizes = new WeakMap<Tensor | Ints, { readonly bytes: number; readonly term: Term }>()
  const held = new Map<Term, number>()
  const peaks = new Map<Phase, Held>()
  const spentIn = new Map<Phase, Spent>()
  let [live, peak] = [0, 0]
  let [flops, calls, traffic] = [0, 0, 0]
  let [phase, share]: [Phase | null, number] = [null, 1]
  let settled: Spent = { flops, calls, traffic }
  /** What was written last: where sequences begin, and at which positions tokens are decoded. */
  const written = new WeakMap<Ints, Int32Array>()

  const mark = (): void => {
    peak = Math.max(peak, live)
    if (phase === null || live <= (peaks.get(phase)?.bytes ?? -1)) return
    peaks.set(phase, { bytes: live, terms: new Map(held) })
  }
  /** What was spent since goes to the phase that is going on. */
  const settle = (): void => {
    if (phase !== null) {
      const sum = spentIn.get(phase) ?? { flops: 0, calls: 0, traffic: 0 }
      spentIn.set(phase, {
        flops: sum.flops + share * (flops - settled.flops),
        calls: sum.calls + share * (calls - settled.calls),
        traffic: sum.traffic + share * (traffic - settled.traffic)
      })
    }
    settled = { flops, calls, traffic }
  }
  const allocate = <B extends Tensor | Ints>(buffer: B, size: number, term: Term): B => {
    // An empty buffer has an address too.
    const bytes = Math.ceil(Math.max(size, alignment - 1) / alignment) * alignment
    sizes.set(buffer, { bytes, term })
    live += bytes
    held.set(term, (held.get(term) ?? 0) + bytes)
    mark()
    return buffer
  }

  /** Steps that are counted at once. */
  let steps = 1
  const product = (rows: number, inputs: number, outputs: number, times = 1): void => {
    flops += 2 * steps * times * rows * inputs * outputs
  }
  /** Scores and weighted values: two products over the pairs of every head. */
  const attend = (seen: number, { headDim, heads }: AttentionShape, times = 1): void => {
    flops += 4 * times * seen * heads * headDim
  }
  /** Of sequences. */
  const summed = (starts: Ints, of: (length: number) => number): number => {
    const at = written.get(starts)!
    let sum = 0
    for (let b = 1; b < at.length; b++) sum += of(at[b]! - at[b - 1]!)
    return sum
  }
  /** Of `steps` tokens more, from each of these positions on. */
  const added = (positions: Ints, of: (length: number) => number): number => {
    let sum = 0
    for (const position of written.get(positions)!) sum += of(position + steps) - of(position)
    return sum
  }
  /** A kernel by what it computes, and by the elements it reads and writes where those are not all that it is given. */
  const kernel = <F extends (...args: never) => void>(
    computes: (...args: Parameters<F>) => void = () => {},
    moves: (...args: Parameters<F>) => number = (...args) => elementsOf(args)
  ): F =>
    ((...args: Parameters<F>): void => {
      calls += steps
      traffic += steps * realBytes * moves(...args)
      computes(...args)
    }) as unknown as F

  const backend: Counting = {
    name: "counting",
    realBytes,
    addressable: Infinity,
    precisions: ["f32", "bf16"],
    at: () => backend,
    reals: (length, what) => allocate<Tensor>({ dtype: "real", length }, realBytes * length, termOf(what)),
    ints: (length) => allocate<Ints>({ dtype: "int", length }, 4 * length, "buffers"),
    free: (buffer) => {
      const { bytes, term } = sizes.get(buffer)!
      live -= bytes
      held.set(term, held.get(term)! - bytes)
    },
    slice: (_, __, length) => ({ dtype: "real", length }),
    memory: () => ({ live, peak }),
    spent: () => ({ flops, calls, traffic }),
    spentIn: () => {
      settle()
      return spentIn
    },
    peaks: () => peaks,
    during: (of, work, times = 1) => {
      settle()
      const outer = [phase, share] as const
      ;[phase, share] = [of, times]
      mark()
      try {
        return work()
      } finally {
        settle()
        ;[phase, share] = outer
      }
    },
    restart: () => {
      peak = live
      peaks.clear()
    },
    read: ({ length }) => length < mostRead ? new Float32Array(length) : unread(length),
    write: () => {},
    writeInts: (to, data) => {
      // Not a copy: it is asked about before the next tokens are written over it.
      written.set(to, data)
    },
    dispose: () => {},
    together: (count, once) => {
      steps = count
      try {
        once()
      } finally {
        steps = 1
      }
    },
    packedLength: (inputs, outputs) => inputs * outputs,
    sumSquares: ({ length }) => {
      calls++
      traffic += realBytes * length
      return 0
    },
    zero: kernel(),
    add: kernel(),
    copy: kernel(),
    embed: kernel(undefined, (out) => 2 * out.length),
    embedBackward: kernel(undefined, (_, dOut) => 3 * dOut.length),
    linear: kernel((_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs)),
    packWeight: kernel(),
    linearPacked: kernel((_, __, ___, ____, rows, inputs, outputs) => product(rows, inputs, outputs)),
    linearBackward: kernel(({ dW, dX }, _, __, ___, rows, inputs, outputs) =>
      product(rows, inputs, outputs, (dX === null ? 0 : 1) + (dW === null ? 0 : 1))
    ),
    rmsNorm: kernel(),
    rmsNormBackward: kernel(),
    rope: kernel(),
    attention: kernel((_, __, ___, starts, shape) =>
      attend(summed(starts, (length) => pairs(length, shape.window)), shape)
    ),
    attentionBackward: kernel((_, __, ___, ____, _____, starts, shape) =>
      attend(summed(starts, (length) => pairs(length, shape.window)), shape, 2)
    ),
    cacheWrite: kernel(
      undefined,
      (_, __, ___, slots, ____, { headDim, kvHeads }) => 4 * slots.length * kvHeads * headDim
    ),
    attentionDecode: kernel(
      (_, __, ___, ____, _____, positions, shape) =>
        attend(added(positions, (length) => pairs(length, shape.window)), shape),
      (out, _, __, ___, ____, positions, { headDim, kvHeads, window }) =>
        2 * out.length + 2 * kvHeads * headDim * added(positions, (length) => keysRead(length, window)) / steps
    ),
    swiglu: kernel(),
    swigluBackward: kernel(),
    head: kernel((_, __, ___, ____, { dim, rows, vocab }: HeadShape) => product(rows, dim, vocab)),
    headBackward: kernel(({ dW }, _, __, ___, ____, _____, { dim, rows, vocab }) =>
      product(rows, dim, vocab, dW === null ? 1 : 2)
    ),
    sample: kernel(),
    gatherRows: kernel(undefined, (out) => 2 * out.length),
    scatterRows: kernel(),
    adamw: kernel()
  }
  return backend
}
