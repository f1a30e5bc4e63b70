/** Under which key the store has what a node makes, and what of a pipeline it has. */
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
 * The key of a node under its KL caps, which are part of it because they can end it early with what there is. Caps on resources are not:
 * over them a stage fails, and with a larger cap it goes on from its last checkpoint to the same result. A node without KL
 * caps has its own id as key.
 */
export const keyOf = (artifact: Artifact.Any, limits: NodeCaps): string => {
  if (limits.kl.length === 0) return artifact.id
  const kl = limits.kl.map(({ from, ...cap }) => ({ ...cap, from: from.id }))
  return sha256(canonical({ id: artifact.id, kl }))
}

/** Operations that make nothing of their own. */
export const transparent: ReadonlySet<string> = new Set(["Cap", "Input", "Source", "Checkpoint", "Ensemble"])

/** Whether the store has what a node of the pipeline `root` makes. */
export const finishedIn = (root: Artifact.Any) => {
  const limits = capsIn(root)
  return (artifact: Artifact.Any) =>
    transparent.has(artifact.node.op)
      ? Effect.succeed(false)
      : Effect.flatMap(Store, (store) => store.has(keyOf(artifact, limits(artifact)), label(artifact)))
}

/**
 * Artefacts that making `root` makes, inputs first: nothing that is `finished`, nothing that only a finished artefact needs, and not the
 * initial model of a cap without KL.
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

/** What making each artefact of the pipeline `root` took, where the store knows. */
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
