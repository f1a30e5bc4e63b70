/** `keel bench` as a value: from backends and requested parts to all measurements. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import type * as Scope from "effect/Scope"
import type { Engine, Weights } from "../engine/engine.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import type { Backend } from "../tensor/backend.ts"
import { type Agreement, compare, computedBy, computedByPeer } from "./agreement.ts"
import { busyNow } from "./busy.ts"
import { type Case, type PeerName, torchCases } from "./cases.ts"
import { ours, theirs } from "./contestants.ts"
import { type BenchProgress, interleave, type Timing } from "./measure.ts"
import type { Resident } from "./memory.ts"
import { type Workload, type WorkloadName, workloads } from "./models.ts"
import { type Peer, PeerFailed } from "./peer.ts"
import { selected } from "./parts.ts"
import { giveWorkload, openTorch, openTrainer } from "./peers.ts"
import { median } from "./statistics.ts"
import { type PostTraining, postTraining, trlCase } from "./postTraining.ts"
import { leastMemory } from "./torchMemory.ts"

/** A backend that is open, under the name its column gets. */
export interface BenchBackend {
  readonly name: string
  readonly backend: Backend
  readonly engine: Engine
  /** Whether its losses should equal PyTorch's; false at a lower precision. */
  readonly exact: boolean
}

export interface BenchPlan {
  readonly backends: ReadonlyArray<BenchBackend>
  readonly peers: ReadonlyArray<PeerName>
  /** Names of parts; every part when empty. */
  readonly only: ReadonlyArray<string>
  readonly rounds: number
  readonly threads: number
  /** Of the model that SFT, DPO and GRPO train. */
  readonly base: Weights
  /** Trains mid alone in a new process with this backend. */
  readonly trainAlone: (name: string, recompute: boolean) => Effect.Effect<Resident, PeerFailed, Scope.Scope>
  /** The current activity; the next call replaces it. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Something to keep. */
  readonly note: (text: string) => Effect.Effect<void>
  readonly onProgress: (progress: BenchProgress) => Effect.Effect<void>
}

export interface BenchMemory {
  readonly name: string
  readonly resident: Resident
}

export interface Result {
  /** Share of the cores that others used, before or after: the larger. */
  readonly busy: number
  /** The best GEMM of a backend, floating-point operations a second. */
  readonly peaks: ReadonlyMap<string, number>
  readonly versions: Readonly<Partial<Record<PeerName, string>>>
  readonly measured: ReadonlyArray<Timing>
  readonly memory: ReadonlyArray<BenchMemory>
  readonly agreement: ReadonlyArray<Agreement>
}

/** A peer that cannot be opened is left out with a note. */
const orNote = <A, E, R>({ note }: BenchPlan, open: Effect.Effect<A, E | PeerFailed, R>) =>
  Effect.catchIf(
    open,
    (error): error is PeerFailed => error instanceof PeerFailed,
    (error) => Effect.as(note(`${error.message}; left out`), null)
  )

const memoryOfTraining = Effect.fnUntraced(function*(plan: BenchPlan, mid: Workload) {
  const { backends, peers, say, threads, trainAlone } = plan
  const memory: Array<BenchMemory> = []
  for (const { backend, exact, name } of backends) {
    if (!exact || backend.realBytes !== 4) continue
    for (const recompute of [false, true]) {
      const what = recompute ? `${name}, recomputing activations` : name
      yield* say(`memory of training mid: ${what}`)
      memory.push({ name: what, resident: yield* Effect.scoped(trainAlone(name, recompute)) })
    }
  }
  if (peers.includes("torch")) {
    yield* say("memory of training mid: torch")
    const resident = yield* orNote(plan, leastMemory(mid, threads))
    if (resident !== null) memory.push({ name: "torch", resident })
  }
  return memory
})

const sameAsTorch = Effect.fnUntraced(
  function*({ backends, say }: BenchPlan, torch: Peer, workload: (name: WorkloadName) => Workload) {
    const agreement: Array<Agreement> = []
    for (const name of ["tiny", "mid"] as const) {
      yield* say(`the same losses and tokens as PyTorch: ${name}`)
      const expected = yield* computedByPeer(torch, name)
      for (const { backend, engine, exact, name: contestant } of backends) {
        if (name === "mid" && backend.realBytes !== 4) continue
        const compared = compare(name, contestant, computedBy(engine, workload(name)), expected)
        agreement.push(exact ? compared : { ...compared, agrees: null })
      }
    }
    return agreement
  }
)

/** Runs the plan. */
export const bench = (
  plan: BenchPlan
): Effect.Effect<
  Result,
  PeerFailed | PlatformError.PlatformError | BadCheckpoint,
  FileSystem.FileSystem | Scope.Scope
> =>
  Effect.gen(function*() {
    const { backends, base, onProgress, peers, rounds, say, threads } = plan
    const busyBefore = yield* busyNow
    const wanted = new Set(selected(plan.only))
    const made = new Map<WorkloadName, Workload>()
    const workload = (name: WorkloadName): Workload => {
      const one = made.get(name) ?? workloads[name]()
      made.set(name, one)
      return one
    }
    const trainers = postTraining(base).filter(({ name }) => wanted.has(name))
    const cases = [...torchCases(workload), ...trainers.map((one) => trlCase(one, base))]
      .filter(({ name }) => wanted.has(name))

    // Memory first, while this process and its peers hold little: on a small machine both must fit.
    const memory = wanted.has("memory") ? yield* memoryOfTraining(plan, workload("mid")) : []

    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "keel-bench-" })
    const versions: Partial<Record<PeerName, string>> = {}
    const torch = peers.includes("torch") && (wanted.has("agreement") || cases.some(({ peer }) => peer === "torch"))
      ? yield* orNote(plan, torchPeer(plan, cases, wanted.has("agreement"), workload, folder))
      : null
    if (torch !== null) versions.torch = torch.version
    const agreement = wanted.has("agreement") && torch !== null ? yield* sameAsTorch(plan, torch.peer, workload) : []

    const trl = new Map<string, Peer>()
    for (const one of peers.includes("trl") ? trainers : []) {
      yield* say(`opening the ${one.name.toUpperCase()} trainer of TRL`)
      const opened = yield* orNote(plan, openTrainer(one, folder, base, threads))
      if (opened === null) continue
      versions.trl = opened.version
      trl.set(one.name, opened.peer)
      agreement.push(...sameLoss(one, opened.losses, backends, base))
    }

    const contestants = [
      ...backends.map(({ backend, engine, name }) => ours(name, backend, engine, workload)),
      theirs("torch", ({ peer }) => peer === "torch" ? torch?.peer ?? null : null),
      theirs("trl", ({ name, peer }) => peer === "trl" ? trl.get(name) ?? null : null)
    ]
    const measured = yield* interleave(cases, contestants, rounds, onProgress)
    const peaks = new Map<string, number>()
    for (const { one, seconds } of measured.filter(({ one }) => one.name === "gemm")) {
      for (const [name, of] of seconds) peaks.set(name, Math.max(peaks.get(name) ?? 0, one.amount / median(of)))
    }
    const busy = Math.max(busyBefore, yield* busyNow)
    return { versions, measured, memory, agreement, peaks, busy }
  })

const torchPeer = (
  { note, say, threads }: BenchPlan,
  cases: ReadonlyArray<Case>,
  agreement: boolean,
  workload: (name: WorkloadName) => Workload,
  folder: string
) =>
  Effect.gen(function*() {
    yield* say("opening PyTorch")
    const { peer, version } = yield* openTorch(threads)
    for (const name of ["tiny", "mid"] as const) {
      if (!agreement && !cases.some((one) => one.name.endsWith(`-${name}`))) continue
      yield* say(`finding what PyTorch is fastest with: ${name}`)
      const { fused, sdpa } = yield* giveWorkload(peer, folder, workload(name), null)
      const attention = Object.entries(sdpa).map(([what, on]) => `${what} ${on ? "sdpa" : "softmax"}`).join(", ")
      yield* note(`PyTorch on ${name}: attention ${attention}; AdamW ${fused ? "fused" : "foreach"}`)
    }
    return { peer, version }
  })

/** The losses of the first steps by TRL's trainer and by ours: that the two do the same work. GRPO's depends on its samples. */
const sameLoss = (
  one: PostTraining,
  theirs: ReadonlyArray<number>,
  backends: ReadonlyArray<BenchBackend>,
  base: Weights
): ReadonlyArray<Agreement> => {
  if (one.name === "grpo") return []
  return backends.filter(({ backend, exact }) => exact && backend.realBytes === 4).map(({ engine, name }) => {
    const { dispose, step } = one.open(engine, base)
    const losses = theirs.map(() => step())
    dispose()
    return compare(`${one.name}, TRL`, name, { losses, ids: [] }, { losses: theirs, ids: [] })
  })
}
