/** Times pieces of work, each without the timed pieces inside it. */
import * as Effect from "effect/Effect"
import { counting } from "../../tensor/counting/backend.ts"
import type { Backend, Precision } from "../../tensor/backend.ts"
import type { Timing } from "./fit.ts"
import type { HostWork, Watch } from "./hostWork.ts"

export interface Clock extends Watch {
  /** The backend with each call timed. */
  readonly backend: (backend: Backend) => Backend
  /** Begins a piece of work; ending it returns its seconds without the timed pieces inside it. */
  readonly begin: () => () => number
  /** Units done of each kind of host work so far. */
  readonly done: () => ReadonlyMap<HostWork, number>
  /** By name of the work, which is `name bf16` in bf16. */
  readonly timings: () => ReadonlyMap<string, ReadonlyArray<Timing>>
  /** Forgets all timings. */
  readonly restart: () => void
}

/** The calls of a backend that take time, in the order of `Backend`. */
const timed = [
  "read write writeInts zero add copy lerp scale softcap embed embedBackward linear packWeight linearPacked linearBackward",
  "rmsNorm rmsNormBackward layerNorm layerNormBackward rope attention attentionBackward cacheWrite attentionDecode",
  "swiglu swigluBackward gelu geluBackward head headBackward sample gatherRows scatterRows adamw sumSquares"
].flatMap((line) => line.split(" ")) as ReadonlyArray<
  Exclude<keyof Backend, "name" | "realBytes" | "addressable" | "precisions">
>

/** `backend` with `around` every timed call; `around` calls `work`. */
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
  /** Seconds timed inside each piece in progress; the last piece is the innermost. */
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
    // Counting reads only lengths, so it works on buffers of any backend.
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
        // The time of counting itself is in no rate.
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
