import type { Backend, Ints, Precision, Tensor } from "../../tensor/backend.ts"
import { type Phase, type Term, termOf } from "./terms.ts"
import { pairs, workOf } from "./work.ts"

/** Seconds that a call of the backend takes, by its name in `Backend`, floating-point operations and bytes moved. */
export type Cost = (what: string, flops: number, bytes: number, precision: Precision) => number

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
  /** By the `cost` of the backend; 0 without one. */
  readonly seconds: number
}

/** What was held at one time. */
export interface Held {
  readonly bytes: number
  /** They add up to `bytes`. */
  readonly terms: ReadonlyMap<Term, number>
}

export interface Counting extends Backend {
  readonly spent: () => Spent
  readonly flops: () => number
  /** The same by phase; what is asked for outside of any is in none. */
  readonly spentIn: () => ReadonlyMap<Phase, Spent>
  /** The most held in each phase that there was since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  /** What `work` asks for belongs to this phase, `times` over; in `spent` it is counted once. */
  readonly during: <A>(phase: Phase, work: () => A, times?: number) => A
  /** Forgets the peaks: what is held now is the most held from here on. */
  readonly restart: () => void
}

/** Keys that the queries of a causal sequence read, each its own too. */
const keysRead = (length: number, window: number): number =>
  pairs(length, window) + Math.min(length, window === 0 ? length : window) / 2

/** The calls of a backend that take time, in the order of `Backend`. */
const timed = [
  ..."read write writeInts zero add copy embed embedBackward linear packWeight linearPacked linearBackward rmsNorm rmsNormBackward"
    .split(" "),
  ..."rope attention attentionBackward cacheWrite attentionDecode swiglu swigluBackward head headBackward sample".split(
    " "
  ),
  ..."gatherRows scatterRows adamw sumSquares".split(" ")
] as ReadonlyArray<Exclude<keyof Backend, "name" | "realBytes" | "addressable" | "precisions">>

/** `backend` with `around` every call that takes time; `around` calls `work`. */
export const eachCall = <B extends Backend>(
  backend: B,
  around: (what: string, args: ReadonlyArray<unknown>, work: () => unknown) => unknown
): B => ({
  ...backend,
  ...Object.fromEntries(timed.map((what) => {
    const call = backend[what] as (...args: ReadonlyArray<unknown>) => unknown
    return [what, (...args: ReadonlyArray<unknown>) => around(what, args, () => call(...args))]
  }))
})

/** Nobody looks into what is longer: it is parameters or moments on their way to a file. */
const mostRead = 2 ** 24

/** The same zeros for everybody: memory that nobody touches is none. */
const zeros = new ArrayBuffer(4 * mostRead)

/**
 * An array that is nowhere: zeros that are not written to, and by its length alone when it is long; what is computed of that, number by
 * number, is as long.
 */
export const unread = (length: number): Float32Array =>
  length < mostRead ? new Float32Array(zeros, 0, length) : nowhere(length)

/** By its length alone. */
const nowhere = (length: number): Float32Array => {
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
  { alignment = 64, cost, realBytes = 4 }: {
    readonly alignment?: number
    readonly realBytes?: number
    readonly cost?: Cost
  } = {}
): Counting => {
  const sizes = new WeakMap<Tensor | Ints, { readonly bytes: number; readonly term: Term }>()
  /** Slices of parameters and their moments, which go to a file as they are. */
  const kept = new WeakSet<Tensor>()
  const held = new Map<Term, number>()
  const peaks = new Map<Phase, Held>()
  const spentIn = new Map<Phase, Spent>()
  let [live, peak] = [0, 0]
  let [flops, calls, traffic, seconds] = [0, 0, 0, 0]
  let [phase, share]: [Phase | null, number] = [null, 1]
  let settled: Spent = { flops, calls, traffic, seconds }
  /** What was written last: where sequences begin, and at which positions tokens are decoded. */
  const written = new WeakMap<Ints, Int32Array>()

  const isKept = (tensor: Tensor): boolean => {
    const term = sizes.get(tensor)?.term
    return term === "weights" || term === "optimizer" || kept.has(tensor)
  }
  const mark = (): void => {
    peak = Math.max(peak, live)
    if (phase === null || live <= (peaks.get(phase)?.bytes ?? -1)) return
    peaks.set(phase, { bytes: live, terms: new Map(held) })
  }
  /** What was spent since goes to the phase that is going on. */
  const settle = (): void => {
    if (phase !== null) {
      const sum = spentIn.get(phase) ?? { flops: 0, calls: 0, traffic: 0, seconds: 0 }
      spentIn.set(phase, {
        flops: sum.flops + share * (flops - settled.flops),
        calls: sum.calls + share * (calls - settled.calls),
        traffic: sum.traffic + share * (traffic - settled.traffic),
        seconds: sum.seconds + share * (seconds - settled.seconds)
      })
    }
    settled = { flops, calls, traffic, seconds }
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
  const work = workOf((ints) => written.get(ints)!, () => steps)
  /** Of `steps` tokens more, from each of these positions on. */
  const added = (positions: Ints, of: (length: number) => number): number => {
    let sum = 0
    for (const position of written.get(positions)!) sum += of(position + steps) - of(position)
    return sum
  }
  /** A kernel by what it computes, and by the elements it reads and writes where those are not all that it is given. */
  const kernel = <F extends (...args: never) => void>(
    computes: (...args: Parameters<F>) => number = () => 0,
    moves: (...args: Parameters<F>) => number = (...args) => elementsOf(args)
  ): F =>
    ((...args: Parameters<F>): void => {
      calls += steps
      traffic += steps * realBytes * moves(...args)
      flops += computes(...args)
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
    slice: (of, _, length) => {
      const slice: Tensor = { dtype: "real", length }
      if (isKept(of)) kept.add(slice)
      return slice
    },
    memory: () => ({ live, peak }),
    spent: () => ({ flops, calls, traffic, seconds }),
    flops: () => flops,
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
    read: (tensor) => {
      const { length } = tensor
      return length < mostRead && !isKept(tensor) ? new Float32Array(length) : nowhere(length)
    },
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
    linear: kernel(work.linear),
    packWeight: kernel(),
    linearPacked: kernel(work.linearPacked),
    linearBackward: kernel(work.linearBackward),
    rmsNorm: kernel(),
    rmsNormBackward: kernel(),
    rope: kernel(),
    attention: kernel(work.attention),
    attentionBackward: kernel(work.attentionBackward),
    cacheWrite: kernel(
      undefined,
      (_, __, ___, slots, ____, { headDim, kvHeads }) => 4 * slots.length * kvHeads * headDim
    ),
    attentionDecode: kernel(
      work.attentionDecode,
      (out, _, __, ___, ____, positions, { headDim, kvHeads, window }) =>
        2 * out.length + 2 * kvHeads * headDim * added(positions, (length) => keysRead(length, window)) / steps
    ),
    swiglu: kernel(),
    swigluBackward: kernel(),
    head: kernel(work.head),
    headBackward: kernel(work.headBackward),
    sample: kernel(),
    gatherRows: kernel(undefined, (out) => 2 * out.length),
    scatterRows: kernel(),
    adamw: kernel()
  }
  if (cost === undefined) return backend
  const priced = (precision: Precision): Counting => ({
    ...eachCall(backend, (what, args, work) => {
      const before = { flops, traffic }
      const value = work()
      // What goes to the device and what comes back is no kernel's.
      const moved = what === "read" ? args[0] : what === "write" || what === "writeInts" ? args[1] : null
      const bytes = moved === null
        ? traffic - before.traffic
        : steps * realBytes * (moved as { readonly length: number }).length
      seconds += steps * cost(what, (flops - before.flops) / steps, bytes / steps, precision)
      return value
    }),
    at: (precision) => precisions[precision]
  })
  const precisions = { f32: priced("f32"), bf16: priced("bf16") }
  return precisions.f32
}
