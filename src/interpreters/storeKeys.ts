/** The store's key of each node, and which results of a pipeline are in the store. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { label } from "../../dsl/Render.ts"
import type { Spent } from "../store/spent.ts"
import { Store } from "../store/store.ts"
import { capsIn, type NodeCaps } from "./capsOf.ts"

/**
 * The key of a node. KL caps are part of it, because a cap may end the node early with its last result. Caps on
 * resources are not: a stage that passes them fails, and with a larger cap it continues from its last checkpoint to the
 * same result. A node without KL caps has its own id as key.
 */
export const keyOf = (artifact: Artifact.Any, limits: NodeCaps): string => {
  if (limits.kl.length === 0) return artifact.id
  const kl = limits.kl.map(({ from, ...cap }) => ({ ...cap, from: from.id }))
  return sha256(canonical({ id: artifact.id, kl }))
}

/** Operations without a result of their own. */
export const transparent: ReadonlySet<string> = new Set(["Cap", "Input", "Source", "Checkpoint", "Ensemble"])

/** Whether the store has the result of a node of the pipeline `root`. */
export const finishedIn = (root: Artifact.Any) => {
  const limits = capsIn(root)
  return (artifact: Artifact.Any) =>
    transparent.has(artifact.node.op)
      ? Effect.succeed(false)
      : Effect.flatMap(Store, (store) => store.has(keyOf(artifact, limits(artifact)), label(artifact)))
}

/**
 * Artefacts that are made with `root`, inputs first: without `finished` artefacts, inputs that only they need, and
 * initial models of caps without KL.
 */
export const wantedIn = Effect.fnUntraced(function*<E = never, R = never>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R> = () => Effect.succeed(false)
) {
  const wanted = new Set<string>()
  const left = new Set<string>([root.id])
  for (const artifact of Artifact.lineage(root).toReversed()) {
    if (!left.has(artifact.id) || (yield* finished(artifact))) continue
    const { op, params, wires } = artifact.node
    const needed = op === "Cap" && !Object.hasOwn(params as object, "kl") ? [wires["of"]!] : Object.values(wires)
    for (const { id } of needed) left.add(id)
    if (!transparent.has(op)) wanted.add(artifact.id)
  }
  return Artifact.lineage(root).filter(({ id }) => wanted.has(id))
})

/** The stored spending of each artefact of the pipeline `root`. */
export const spentIn = Effect.fn("spentIn")(function*(root: Artifact.Any) {
  const store = yield* Store
  const limits = capsIn(root)
  const found = new Map<string, Spent>()
  for (const artifact of Artifact.lineage(root)) {
    if (transparent.has(artifact.node.op)) continue
    const spent = yield* store.spent(keyOf(artifact, limits(artifact)), label(artifact))
    if (Option.isSome(spent)) found.set(artifact.id, spent.value)
  }
  return found
})
