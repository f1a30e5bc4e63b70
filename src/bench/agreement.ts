/** Whether a backend agrees with PyTorch: a benchmark of another computation would have no meaning. */
import * as Effect from "effect/Effect"
import type { Engine } from "../engine/engine.ts"
import { continuations, trainStep } from "./cases.ts"
import type { Workload } from "./models.ts"
import { type Peer, PeerFailed } from "./peer.ts"

/** Steps whose losses are compared, and how far apart they may be, nats per token. */
export const comparedSteps = 6
export const tolerance = 1e-4

export interface Computed {
  /** Losses of the first steps from the initial weights. */
  readonly losses: ReadonlyArray<number>
  /** Greedy continuations by the initial weights. */
  readonly ids: ReadonlyArray<ReadonlyArray<number>>
}

export interface Agreement {
  readonly workload: string
  readonly contestant: string
  /** Largest difference of a loss; NaN when the numbers of losses differ. */
  readonly loss: number
  /** Tokens that differ, of `tokens`. */
  readonly different: number
  readonly tokens: number
  /** Null for a lower precision, which is shown and not held to it. */
  readonly agrees: boolean | null
}

export const compare = (workload: string, contestant: string, ours: Computed, theirs: Computed): Agreement => {
  const loss = ours.losses.length === theirs.losses.length
    ? ours.losses.reduce((most, x, i) => {
      const difference = Math.abs(x - theirs.losses[i]!)
      // Not Math.max alone: NaN must not look like agreement.
      return difference <= most ? most : difference
    }, 0)
    : NaN
  const tokens = theirs.ids.reduce((sum, row) => sum + row.length, 0)
  let same = 0
  theirs.ids.forEach((row, i) => row.forEach((id, t) => same += ours.ids[i]?.[t] === id ? 1 : 0))
  const extra = ours.ids.reduce((sum, row) => sum + row.length, 0) - tokens
  const different = tokens - same + Math.max(0, extra)
  return { workload, contestant, loss, different, tokens, agrees: loss <= tolerance && different === 0 }
}

export const computedBy = (engine: Engine, workload: Workload): Computed => {
  const policy = engine.policy(workload.weights)
  const ids = continuations(policy, workload).map((row) => [...row])
  const losses = Array.from({ length: comparedSteps }, (_, step) => trainStep(policy, workload, step))
  policy.dispose()
  return { losses, ids }
}

export const computedByPeer = (peer: Peer, workload: string): Effect.Effect<Computed, PeerFailed> =>
  Effect.gen(function*() {
    const { losses } = yield* peer.request({ do: "losses", name: workload, count: comparedSteps })
    const { ids } = yield* peer.request({ do: "ids", name: workload })
    if (!Array.isArray(losses) || !Array.isArray(ids)) {
      return yield* new PeerFailed({ peer: peer.name, problem: "it gave no losses or no ids" })
    }
    return { losses: losses as ReadonlyArray<number>, ids: ids as ReadonlyArray<ReadonlyArray<number>> }
  })
