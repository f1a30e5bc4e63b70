import type { Backend, Ints, Precision } from "../backend.ts"
import { type Working, workOf } from "./flops.ts"

const working: ReadonlyArray<Working> = [
  "linear",
  "linearPacked",
  "linearBackward",
  "attention",
  "attentionBackward",
  "attentionDecode",
  "head",
  "headBackward"
]

export interface FlopCounter extends Backend {
  /** Useful floating-point operations so far by `workOf`: the plan and the run use the same count. */
  readonly flops: () => number
  /** The most bytes held since the last `restart`. */
  readonly recently?: { readonly peak: () => number; readonly restart: () => void }
}

export const counts = (backend: Backend): backend is FlopCounter => "flops" in backend

/** A backend that computes as before and counts its operations; an addition or two per kernel. */
export const withFlops = (backend: Backend): FlopCounter => {
  let flops = 0
  const written = new WeakMap<Ints, Int32Array>()
  const work = workOf((ints) => written.get(ints)!)
  let peak = backend.memory().peak
  const seen = <B>(buffer: B): B => {
    peak = Math.max(peak, backend.memory().live)
    return buffer
  }
  const shared = {
    reals: ((length, what) => seen(backend.reals(length, what))) satisfies Backend["reals"],
    ints: ((length) => seen(backend.ints(length))) satisfies Backend["ints"],
    writeInts: ((to, data, at) => {
      // Not a copy: it is read before the next tokens are written over it.
      written.set(to, data)
      backend.writeInts(to, data, at)
    }) satisfies Backend["writeInts"],
    flops: () => flops,
    recently: {
      peak: () => peak,
      restart: () => {
        peak = backend.memory().live
      }
    }
  }
  const around = (of: Backend): FlopCounter => ({
    ...of,
    ...shared,
    at: (precision) => others.get(precision) ?? remember(precision, around(backend.at(precision))),
    ...Object.fromEntries(working.map((name) => {
      // Eight named arguments, the most of any kernel: an array per call would be a percent of a small model's time.
      type Kernel<A> = (
        a: unknown,
        b: unknown,
        c: unknown,
        d: unknown,
        e: unknown,
        f: unknown,
        g: unknown,
        h: unknown
      ) => A
      const [counts, computes] = [work[name] as unknown as Kernel<number>, of[name] as unknown as Kernel<void>]
      return [
        name,
        ((a, b, c, d, e, f, g, h) => {
          flops += counts(a, b, c, d, e, f, g, h)
          computes(a, b, c, d, e, f, g, h)
        }) satisfies Kernel<void>
      ]
    }))
  })
  const others = new Map<Precision, FlopCounter>()
  const remember = (precision: Precision, made: FlopCounter): FlopCounter => {
    others.set(precision, made)
    return made
  }
  return around(backend)
}
