import type { Backend, Precision } from "../../tensor/backend.ts"
import { counting } from "./counting.ts"

/** The kernels that are work: each is counted by what `counting` says of the same call. */
const work = [
  "linear",
  "linearPacked",
  "linearBackward",
  "attention",
  "attentionBackward",
  "attentionDecode",
  "head",
  "headBackward"
] as const

/** A backend that counts. */
export interface Counts extends Backend {
  /** Useful floating-point operations so far, by the formulas of the counting backend: what `plan` says and what was done are one number. */
  readonly flops: () => number
  /** The most bytes held since it was told to `restart`. */
  readonly recently?: { readonly peak: () => number; readonly restart: () => void }
}

export const counts = (backend: Backend): backend is Counts => "flops" in backend

/** A backend that computes as before and counts what it computes; an addition or two a kernel. */
export const tallied = (backend: Backend): Counts => {
  const counter = counting({ realBytes: backend.realBytes })
  let peak = backend.memory().peak
  const seen = <B>(buffer: B): B => {
    peak = Math.max(peak, backend.memory().live)
    return buffer
  }
  const shared = {
    reals: ((length, what) => seen(backend.reals(length, what))) satisfies Backend["reals"],
    ints: ((length) => seen(backend.ints(length))) satisfies Backend["ints"],
    writeInts: ((to, data, at) => {
      counter.writeInts(to, data, at)
      backend.writeInts(to, data, at)
    }) satisfies Backend["writeInts"],
    flops: () => counter.flops(),
    recently: {
      peak: () => peak,
      restart: () => {
        peak = backend.memory().live
      }
    }
  }
  const around = (of: Backend): Counts => ({
    ...of,
    ...shared,
    at: (precision) => others.get(precision) ?? remember(precision, around(backend.at(precision))),
    ...Object.fromEntries(work.map((name) => {
      const [count, compute] = [counter[name], of[name]] as [
        (...args: Array<unknown>) => void,
        (...args: Array<unknown>) => void
      ]
      return [name, (...args: Array<unknown>) => {
        count(...args)
        compute(...args)
      }]
    }))
  })
  const others = new Map<Precision, Counts>()
  const remember = (precision: Precision, made: Counts): Counts => {
    others.set(precision, made)
    return made
  }
  return around(backend)
}
