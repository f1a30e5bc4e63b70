/** All contestants in turn: a temporary slowdown of the machine slows all of them, and ratios are taken within a round. */
import * as Effect from "effect/Effect"
import type { Case } from "./cases.ts"
import type { PeerFailed } from "./peer.ts"

/** A backend or a peer. */
export interface Contestant {
  readonly name: string
  readonly takes: (one: Case) => boolean
  /** Does the work of the case `count` times; returns the seconds of a single time. */
  readonly measure: (one: Case, count: number) => Effect.Effect<number, PeerFailed>
}

export interface Timing {
  readonly one: Case
  /** Contestant → seconds of a run in each round. */
  readonly seconds: ReadonlyMap<string, ReadonlyArray<number>>
}

/** A measurement repeats runs for about this many seconds: a shorter time shows the clock and the scheduler. */
const atLeast = 0.2
const mostRuns = 2000

/** The number of runs in a measurement, when a run took `seconds`. */
export const runsFor = (seconds: number): number =>
  Math.max(1, Math.min(mostRuns, Math.ceil(atLeast / Math.max(seconds, 1e-9))))

/** Threads of the contestant before may still spin, waiting for work. */
const pause = Effect.sleep("25 millis")

export interface BenchProgress {
  readonly round: number
  readonly rounds: number
  readonly title: string
  readonly contestant: string
}

/**
 * `rounds` rounds: in each, for each case, every contestant that takes it. The first runs of each contestant (one to warm up, one to
 * estimate the time) are not counted.
 */
export const interleave = (
  cases: ReadonlyArray<Case>,
  contestants: ReadonlyArray<Contestant>,
  rounds: number,
  onProgress: (progress: BenchProgress) => Effect.Effect<void>
): Effect.Effect<ReadonlyArray<Timing>, PeerFailed> =>
  Effect.gen(function*() {
    const all = cases.map((one) => ({
      one,
      seconds: new Map<string, Array<number>>(),
      runs: new Map<string, number>()
    }))
    for (let round = 0; round <= rounds; round++) {
      for (const { one, runs, seconds } of all) {
        for (const contestant of contestants) {
          if (!contestant.takes(one)) continue
          const { name } = contestant
          yield* onProgress({ round, rounds, title: one.title, contestant: name })
          yield* pause
          if (round === 0) {
            yield* contestant.measure(one, 1)
            runs.set(name, runsFor(yield* contestant.measure(one, 1)))
            seconds.set(name, [])
          } else {
            seconds.get(name)!.push(yield* contestant.measure(one, runs.get(name)!))
          }
        }
      }
    }
    return all
  })
