import type { Backend, Ints, Packing, Precision, Tensor } from "../backend.ts"
import { type Phase, state, type Term, termOf } from "./memoryTerms.ts"
import { pairs, workOf } from "./flops.ts"

/** Seconds of a backend call, by its name in `Backend`, floating-point operations and bytes moved. */
export type Cost = (what: string, flops: number, bytes: number, precision: Precision) => number

/** Packing of our compiled kernels: in bf16 two numbers share the place of one. */
const compiled: Packing = (precision, inputs, outputs) => (precision === "bf16" ? 0.5 : 1) * inputs * outputs

export interface CountedWork {
  /**
   * Useful floating-point operations: 2 · rows · inputs · outputs of each product, and for attention only the
   * causal half. Recomputation inside a kernel (logits, probabilities), element-wise operations and look-ups
   * count 0; recomputation by the engine (`recompute`) counts again.
   */
  readonly flops: number
  readonly calls: number
  /** Least bytes read and written: each buffer once per kernel; only the used part of tables and caches. */
  readonly traffic: number
  /** Seconds by the `cost` of the backend; 0 without it. */
  readonly seconds: number
}

export const noWork: CountedWork = { flops: 0, calls: 0, traffic: 0, seconds: 0 }

/** `sum` plus `times` times `more`. */
export const plus = (sum: CountedWork = noWork, more: CountedWork, times: number): CountedWork => ({
  flops: sum.flops + times * more.flops,
  calls: sum.calls + times * more.calls,
  traffic: sum.traffic + times * more.traffic,
  seconds: sum.seconds + times * more.seconds
})

/** Memory held at one time. */
export interface Held {
  readonly bytes: number
  /** Bytes by term; their sum is `bytes`. */
  readonly terms: ReadonlyMap<Term, number>
}

export interface Counting extends Backend {
  readonly spent: () => CountedWork
  readonly flops: () => number
  /** Work by phase; calls outside of any phase are left out. */
  readonly spentIn: () => ReadonlyMap<Phase, CountedWork>
  /** The most held in each phase since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  /** The calls of `work` belong to this phase, `times` over; `spent` counts them once. */
  readonly during: <A>(phase: Phase, work: () => A, times?: number) => A
  /** Forgets the peaks: the bytes held now are the new peak. */
  readonly restart: () => void
}

/** Keys read by the queries of a causal sequence, including each query's own key. */
const keysRead = (length: number, window: number): number =>
  pairs(length, window) + Math.min(length, window === 0 ? length : window) / 2

/** Longer arrays are parameters or moments on their way to a file, and never read. */
const mostRead = 2 ** 24

/** The same zeros for all arrays: untouched memory costs none. */
const zeros = new ArrayBuffer(4 * mostRead)

/**
 * An array without memory of its own: zeros that are not written to. A long array has only its length, and so has any
 * array computed from it number by number.
 */
export const unread = (length: number): Float32Array =>
  length < mostRead ? new Float32Array(zeros, 0, length) : nowhere(length)

/** An array with a length alone. */
const nowhere = (length: number): Float32Array => {
  const array: Float32Array = Object.create(Float32Array.prototype, {
    length: { value: length },
    map: { value: () => array }
  })
  return array
}

/** A buffer of this backend; a slice has its buffer's term and no bytes of its own. */
interface Allocated extends Tensor {
  readonly bytes: number
  readonly term: Term
}

/** Parameters and their moments, which go to a file unchanged. */
const isKept = (tensor: Tensor): boolean => {
  const { term } = tensor as Allocated
  return term === "weights" || term === "optimizer"
}

type Argument = Partial<Tensor> | null | undefined
/** A number of a call. Eight named arguments, the most of any kernel: an array would be garbage in each call. */
type Kernel = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown, f: unknown, g: unknown, h: unknown) => number

const lengthOf = (arg: unknown): number => (arg as Argument)?.dtype === undefined ? 0 : (arg as Tensor).length

/** Elements of a kernel's buffer arguments; a kernel with several results has them in its first argument. */
const elementsOf: Kernel = (first, b, c, d, e, f, g, h) => {
  let sum = lengthOf(b) + lengthOf(c) + lengthOf(d) + lengthOf(e) + lengthOf(f) + lengthOf(g) + lengthOf(h)
  if ((first as Argument)?.dtype !== undefined) return sum + lengthOf(first)
  for (const name in first as object) sum += (first as Readonly<Record<string, Argument>>)[name]?.length ?? 0
  return sum
}

/**
 * A backend that computes nothing and counts bytes and floating-point operations. The engine's own code, run on this
 * backend, gives its memory and work without a second set of formulas. Every value read from it is 0.
 *
 * Buffers are as on a backend of 32-bit reals whose buffers begin at multiples of `alignment` bytes. Other needs of a
 * backend (code, scratch of its threads, gaps between buffers) are not counted.
 */
export const counting = (
  { alignment = 64, cost, devices = 1, packing = compiled, realBytes = 4 }: {
    readonly alignment?: number
    /** Of whose memory a buffer of a model's state takes its part of one. */
    readonly devices?: number
    readonly realBytes?: number
    readonly packing?: Packing
    readonly cost?: Cost
  } = {}
): Counting => {
  const held = new Map<Term, number>()
  const peaks = new Map<Phase, Held>()
  const spentIn = new Map<Phase, CountedWork>()
  let [live, peak] = [0, 0]
  // In one object: numbers that change in a closure of their own are allocated anew at every change.
  const all = { ...noWork }
  let [phase, share]: [Phase | null, number] = [null, 1]
  let settled: CountedWork = { ...all }
  /** The last written integers: where sequences begin, and at which positions tokens are decoded. */
  const written = new WeakMap<Ints, Int32Array>()

  /** Updates the peak: before bytes are freed, and where a phase begins or ends. */
  const mark = (): void => {
    peak = Math.max(peak, live)
    if (phase === null || live <= (peaks.get(phase)?.bytes ?? -1)) return
    peaks.set(phase, { bytes: live, terms: new Map(held) })
  }
  /** Work since the last call goes to the current phase. */
  const settle = (): void => {
    if (phase !== null) spentIn.set(phase, plus(spentIn.get(phase), plus(all, settled, -1), share))
    settled = { ...all }
  }
  const allocate = <D extends (Tensor | Ints)["dtype"]>(dtype: D, length: number, whole: number, term: Term) => {
    const size = state.has(term) ? whole / devices : whole
    // An empty buffer has an address too.
    const bytes = Math.ceil(Math.max(size, alignment - 1) / alignment) * alignment
    live += bytes
    held.set(term, (held.get(term) ?? 0) + bytes)
    return { dtype, length, bytes, term }
  }

  const work = workOf((ints) => written.get(ints)!)
  /** Keys that one further token reads after each of these positions. */
  const keysReadAt = (positions: Ints, window: number): number => {
    let sum = 0
    for (const position of written.get(positions)!) sum += keysRead(position + 1, window) - keysRead(position, window)
    return sum
  }
  const priced = (what: string, operations: number, elements: number, precision: Precision): void => {
    if (cost !== undefined) all.seconds += cost(what, operations, realBytes * elements, precision)
  }

  const at = (precision: Precision): Counting => {
    /** Reals per number in a product. */
    const width = precision === "bf16" ? 0.5 : 1
    /** A counted kernel: its computation, and the elements it reads and writes where they differ from its arguments. */
    const kernel = <F extends (...args: never) => void>(
      what: string,
      computes?: (...args: Parameters<F>) => number,
      moves?: (...args: Parameters<F>) => number
    ): F => {
      const [counts, moved] = [computes as Kernel | undefined, (moves ?? elementsOf) as Kernel]
      const call: Kernel = (a, b, c, d, e, f, g, h) => {
        const operations = counts === undefined ? 0 : counts(a, b, c, d, e, f, g, h)
        const elements = moved(a, b, c, d, e, f, g, h)
        all.traffic += realBytes * elements
        all.flops += operations
        priced(what, operations, elements, precision)
        return all.calls++
      }
      return call as unknown as F
    }
    return {
      name: "counting",
      realBytes,
      addressable: Infinity,
      precisions: ["f32", "bf16"],
      at: (precision) => precisions[precision],
      reals: (length, what) => allocate("real", length, realBytes * length, termOf(what)),
      ints: (length) => allocate("int", length, 4 * length, "buffers"),
      free: (buffer) => {
        const { bytes, term } = buffer as Tensor | Ints as Allocated
        mark()
        live -= bytes
        held.set(term, held.get(term)! - bytes)
      },
      slice: (of, _, length) => ({ dtype: "real", length, bytes: 0, term: (of as Allocated).term }),
      memory: () => ({ live, peak: Math.max(peak, live) }),
      spent: () => ({ ...all }),
      flops: () => all.flops,
      spentIn: () => {
        settle()
        return spentIn
      },
      peaks: () => {
        mark()
        return peaks
      },
      during: (of, work, times = 1) => {
        mark()
        settle()
        const outer = [phase, share] as const
        ;[phase, share] = [of, times]
        mark()
        try {
          return work()
        } finally {
          mark()
          settle()
          ;[phase, share] = outer
        }
      },
      restart: () => {
        peak = live
        peaks.clear()
      },
      // Transfers to and from the device belong to no kernel.
      read: (tensor) => {
        const { length } = tensor
        priced("read", 0, length, precision)
        return length < mostRead && !isKept(tensor) ? new Float32Array(length) : nowhere(length)
      },
      unread,
      write: (_, { length }) => priced("write", 0, length, precision),
      writeInts: (to, data) => {
        // Not a copy: it is read before the next tokens are written over it.
        written.set(to, data)
        priced("writeInts", 0, data.length, precision)
      },
      dispose: () => {},
      packedLength: (inputs, outputs) => Math.max(1, Math.ceil(packing(precision, inputs, outputs))),
      sumSquares: ({ length }) => {
        all.calls++
        all.traffic += realBytes * length
        priced("sumSquares", 0, length, precision)
        return 0
      },
      zero: kernel("zero"),
      add: kernel("add"),
      copy: kernel("copy"),
      lerp: kernel("lerp"),
      scale: kernel("scale", undefined, (x) => 2 * x.length),
      softcap: kernel("softcap", undefined, (x) => 2 * x.length),
      embed: kernel("embed", undefined, (out) => 2 * out.length),
      embedBackward: kernel("embedBackward", undefined, (_, dOut) => 3 * dOut.length),
      linear: kernel("linear", work.linear),
      packWeight: kernel("packWeight"),
      // The pack is the weight itself where there is no separate one.
      linearPacked: kernel(
        "linearPacked",
        work.linearPacked,
        (out, x, packed, bias, _, inputs, outputs, residual) =>
          out.length + x.length + Math.max(packed.length, width * inputs * outputs) + (bias?.length ?? 0) +
          (residual?.length ?? 0)
      ),
      linearBackward: kernel("linearBackward", work.linearBackward),
      rmsNorm: kernel("rmsNorm"),
      rmsNormBackward: kernel("rmsNormBackward"),
      layerNorm: kernel("layerNorm"),
      layerNormBackward: kernel("layerNormBackward"),
      rope: kernel("rope"),
      attention: kernel("attention", work.attention),
      attentionBackward: kernel("attentionBackward", work.attentionBackward),
      cacheWrite: kernel(
        "cacheWrite",
        undefined,
        (_, __, ___, slots, ____, { headDim, kvHeads }) => 4 * slots.length * kvHeads * headDim
      ),
      attentionDecode: kernel(
        "attentionDecode",
        work.attentionDecode,
        (out, _, __, ___, ____, positions, { headDim, kvHeads, window }) =>
          2 * out.length + 2 * kvHeads * headDim * keysReadAt(positions, window)
      ),
      swiglu: kernel("swiglu"),
      swigluBackward: kernel("swigluBackward"),
      gelu: kernel("gelu"),
      geluBackward: kernel("geluBackward"),
      head: kernel("head", work.head),
      headBackward: kernel("headBackward", work.headBackward),
      sample: kernel("sample"),
      gatherRows: kernel("gatherRows", undefined, (out) => 2 * out.length),
      scatterRows: kernel("scatterRows"),
      adamw: kernel("adamw")
    }
  }
  const precisions = { f32: at("f32"), bf16: at("bf16") }
  return precisions.f32
}
