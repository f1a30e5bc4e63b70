/**
 * The memory that each stage of a description needs at least, before anything is loaded: a plan of one step of each kind, with
 * completions that are not made yet of one token (the KV cache has its whole length from the start). So a need is never more than
 * what the stage will take, and what it takes is more by the activations of completions that are longer and of larger batches.
 */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { plan, type PlanOptions } from "./plan.ts"

/** Labels of what making `root` makes: what is finished is not made again, and neither is what only it needs. */
const unfinished = Effect.fnUntraced(function*<E, R>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R>
) {
  const visited = new Set<string>()
  const wanted = new Set<string>()
  const stack = [root]
  while (stack.length > 0) {
    const artifact = stack.pop()!
    if (visited.has(artifact.id)) continue
    visited.add(artifact.id)
    if (yield* finished(artifact)) continue
    wanted.add(label(artifact))
    stack.push(...Object.values(artifact.node.wires))
  }
  return wanted
})

/** In the order in which they are made. What cannot be planned asks for nothing: the rest of the preflight, or the stage, will tell. */
export const needs = Effect.fn("needs")(function*<E, R>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R>,
  options: PlanOptions = {}
) {
  const wanted = yield* unfinished(root, finished)
  const { stages } = yield* plan(root, { ...options, rehearsed: 1, completionLength: 1 })
  return stages.filter(({ bytes, stage }) => bytes > 0 && wanted.has(stage))
})
