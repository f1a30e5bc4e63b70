import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { memorySteps, type Resident } from "./memory.ts"
import type { Workload } from "./models.ts"
import { numberOf } from "./peer.ts"
import { giveWorkload, openTorch } from "./peers.ts"

const one = (workload: Workload, threads: number, sdpa: boolean) =>
  Effect.scoped(Effect.gen(function*() {
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "keel-bench-" })
    const { baseline, peer } = yield* openTorch(threads)
    yield* giveWorkload(peer, folder, workload, {
      sdpa: { train: sdpa, logprobs: sdpa, generate: sdpa },
      fused: true
    })
    yield* peer.request({ do: "train", name: workload.name, count: memorySteps })
    const answer = yield* peer.request({ do: "peak" })
    const resident: Resident = { baseline, peak: yield* numberOf("torch", answer, "bytes") }
    return resident
  }))

/** Peak of PyTorch training in a process of its own: the lesser of its peaks with either attention. */
export const leastMemory = (workload: Workload, threads: number) =>
  Effect.map(
    Effect.all([one(workload, threads, false), one(workload, threads, true)]),
    ([a, b]) => a.peak <= b.peak ? a : b
  )
