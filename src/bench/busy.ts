import * as Effect from "effect/Effect"
import { type CpuInfo, cpus } from "node:os"

/** Above this share, a measurement includes the work of other programs. */
export const tooBusy = 0.1

/** Share of the time between two looks at the cores in which they were not idle. */
export const busyShare = (before: ReadonlyArray<CpuInfo>, after: ReadonlyArray<CpuInfo>): number => {
  const sum = (cores: ReadonlyArray<CpuInfo>, count: (times: CpuInfo["times"]) => number) =>
    cores.reduce((total, { times }) => total + count(times), 0)
  const all = ({ idle, irq, nice, sys, user }: CpuInfo["times"]) => idle + irq + nice + sys + user
  const total = sum(after, all) - sum(before, all)
  const idle = sum(after, ({ idle }) => idle) - sum(before, ({ idle }) => idle)
  return total > 0 ? 1 - idle / total : 0
}

/**
 * How much others use this machine, seen while this process and its peers wait for a second. On a busy machine ratios say little:
 * PyTorch's threads wait for each other by spinning, and lose far more than their share.
 */
export const busyNow: Effect.Effect<number> = Effect.gen(function*() {
  const before = cpus()
  yield* Effect.sleep("1 second")
  return busyShare(before, cpus())
})
