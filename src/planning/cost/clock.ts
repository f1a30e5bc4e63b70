/** Times work where it is done, each piece without the pieces inside it. */
import * as Effect from "effect/Effect"
import { counting } from "../../tensor/counting/backend.ts"
import type { Backend, Precision } from "../../tensor/backend.ts"
import type { Timing } from "./fit.ts"
import type { HostWork, Watch } from "./hostWork.ts"

export interface Clock extends Watch {
  /** The same backend, each of its calls timed. */
  readonly backend: (backend: Backend) => Backend
  /** Begins a piece of work; ending it returns its seconds without what was timed inside it. */
  readonly begin: () => () => number
  /** Units done of each work of the host so far. */
  readonly done: () => ReadonlyMap<HostWork, number>
  /** By name of the work; its name in a precision other than f32 is `name bf16`. */
  readonly timings: () => ReadonlyMap<string, ReadonlyArray<Timing>>
  /** Forgets what was timed so far. */
  readonly restart: () => void
}

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
const eachCall = <B extends Backend>(
  backend: B,
  around: (what: string, args: ReadonlyArray<unknown>, work: () => unknown) => unknown
): B => ({
  ...backend,
  ...Object.fromEntries(timed.map((what) => {
    const call = backend[what] as (...args: ReadonlyArray<unknown>) => unknown
    return [what, (...args: ReadonlyArray<unknown>) => around(what, args, () => call(...args))]
  }))
})

/** `now` in seconds. */
export const clock = (now: () => number): Clock => {
  const sums = new Map<string, Map<string, { flops: number; bytes: number; calls: number; seconds: number }>>()
  const done = new Map<HostWork, number>()
  /** Seconds of what was timed inside of each piece that is going on; the last is the innermost. */
  const inside: Array<number> = [0]
  const begin = () => {
    const start = now()
    inside.push(0)
    return (): number => {
      const taken = now() - start
      const own = taken - inside.pop()!
      inside[inside.length - 1]! += taken
      return own
    }
  }
  const add = (what: string, flops: number, bytes: number, seconds: number): void => {
    const sizes = sums.get(what) ?? new Map<string, { flops: number; bytes: number; calls: number; seconds: number }>()
    sums.set(what, sizes)
    const key = `${flops}/${bytes}`
    const size = sizes.get(key) ?? { flops, bytes, calls: 0, seconds: 0 }
    sizes.set(key, size)
    size.calls++
    size.seconds += seconds
  }
  const record = (what: HostWork, amount: number, seconds: number): void => {
    done.set(what, (done.get(what) ?? 0) + amount)
    add(what, 0, amount, seconds)
  }

  const backend = (real: Backend): Backend => {
    let size = { flops: 0, bytes: 0 }
    // It looks at lengths alone, so it counts buffers of any backend.
    const single = counting({
      cost: (_, flops, bytes) => {
        size = { flops, bytes }
        return 0
      }
    })
    type Calls = Record<string, (...args: ReadonlyArray<unknown>) => unknown>
    const counted = { f32: single as unknown as Calls, bf16: single.at("bf16") as unknown as Calls }
    const timed = (real: Backend, precision: Precision): Backend => ({
      ...eachCall(real, (what, args, work) => {
        const start = now()
        const value = work()
        const seconds = now() - start
        counted[precision][what]!(...args)
        add(precision === "f32" ? what : `${what} ${precision}`, size.flops, size.bytes, seconds)
        // With what counting takes: it is nobody's work.
        inside[inside.length - 1]! += now() - start
        return value
      }),
      at: (precision) => timed(real.at(precision), precision)
    })
    return timed(real, "f32")
  }

  return {
    backend,
    begin,
    during: (what, work, amount) => {
      const end = begin()
      const value = work()
      record(what, amount(value), end())
      return value
    },
    effect: (what, work, amount) =>
      Effect.suspend(() => {
        const end = begin()
        return Effect.map(work, (value) => {
          record(what, amount(value), end())
          return value
        })
      }),
    done: () => done,
    timings: () =>
      new Map(
        [...sums].map((
          [what, sizes]
        ) => [
          what,
          [...sizes.values()].map(({ calls, seconds, ...size }) => ({ ...size, calls, seconds: seconds / calls }))
        ])
      ),
    restart: () => {
      sums.clear()
      done.clear()
    }
  }
}
