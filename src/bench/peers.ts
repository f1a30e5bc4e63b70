/** The two peers, PyTorch and TRL: whether they are here, and how their processes are opened. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Weights } from "../engine/engine.ts"
import { save } from "../model/checkpoint.ts"
import type { PeerName } from "./cases.ts"
import type { Workload } from "./models.ts"
import { numberOf, type Peer, startPeer } from "./peer.ts"
import { type PostTraining, trlUpdate } from "./postTraining.ts"

export const peerNames: ReadonlyArray<PeerName> = ["torch", "trl"]
export const peerTitles: Readonly<Record<PeerName, string>> = { torch: "PyTorch", trl: "TRL" }

/** Isolated: code of the current folder, of PYTHONPATH or of the user's site is not run. */
const python = ["python3", "-I"] as const
const script = (name: PeerName): string => fileURLToPath(new URL(`peers/${name}.py`, import.meta.url))

/** Asks without importing anything, so it answers in milliseconds. */
const look = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"

/** The peers that python3 has; that they load is only seen when they are opened. */
export const importable: Effect.Effect<ReadonlyArray<PeerName>> = Effect.callback((resume) => {
  execFile(python[0], [python[1], "-c", look, ...peerNames], (error, out) => {
    const found = error === null ? out.trim().split(" ") : []
    resume(Effect.succeed(peerNames.filter((name) => found.includes(name))))
  })
})

/** The message for a missing peer. */
export const missing = (name: PeerName): string =>
  `${name} is not importable by ${python.join(" ")}: pip install ${name}; comparisons with ${
    peerTitles[name]
  } are skipped`

/** How a model is computed by the PyTorch peer; see peers/torch.py. */
export interface TorchPeerOptions {
  readonly sdpa: Readonly<Record<"train" | "logprobs" | "generate", boolean>>
  readonly fused: boolean
}

/** A PyTorch process without a model yet; `baseline`: its bytes after the imports. */
export const openTorch = (threads: number) =>
  Effect.gen(function*() {
    const peer = yield* startPeer("torch", python[0], [python[1], script("torch")])
    const answer = yield* peer.request({ do: "open", threads })
    return { peer, version: String(answer["version"]), baseline: yield* numberOf("torch", answer, "baseline") }
  })

/** Gives the process a model. Without `options` it searches for the fastest options here, which takes a while. */
export const giveWorkload = (peer: Peer, folder: string, workload: Workload, options: TorchPeerOptions | null) =>
  Effect.gen(function*() {
    const at = join(folder, workload.name)
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(at))) yield* save(at, workload.weights)
    const answer = yield* peer.request({
      do: "model",
      name: workload.name,
      folder: at,
      batches: workload.batches.map((batch) => batch.map((ids) => [...ids])),
      prompts: workload.prompts.map((ids) => [...ids]),
      newTokens: workload.newTokens,
      update: workload.update,
      options
    })
    return answer["options"] as TorchPeerOptions
  })

/** Steps of a trainer whose losses are compared. */
const comparedSteps = 4

/** A trainer in a process of its own, after its first steps, with their losses. */
export const openTrainer = (
  one: PostTraining,
  folder: string,
  weights: Weights,
  threads: number
) =>
  Effect.gen(function*() {
    const at = join(folder, "stories")
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(at))) yield* save(at, weights)
    const peer = yield* startPeer(`trl ${one.name}`, python[0], [python[1], script("trl")])
    const answer = yield* peer.request({
      do: "open",
      threads,
      folder: at,
      update: trlUpdate,
      ...one.request
    })
    const more = yield* peer.request({ do: "step", count: comparedSteps - 1 })
    const losses = [answer, more].flatMap(({ losses }) => losses as ReadonlyArray<number>)
    return { peer, version: String(answer["version"]), losses }
  })
