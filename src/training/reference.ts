/** The reference of a KL penalty: one that stays, or one that follows the policy (`dsl/Reference.ts`). */
import type { ReferencePolicy } from "../../dsl/Reference.ts"
import { forwarding } from "../engine/around.ts"
import type { Policy, TensorData, Weights } from "../engine/engine.ts"

/** A policy whose weights can be replaced. */
export interface Movable extends Policy {
  readonly moveTo: (weights: Weights) => void
}

/** Opens a movable policy; it is saved with the checkpoints of its stage, as it stands. */
export const movable = (open: (weights: Weights) => Policy) => (weights: Weights): Movable => {
  let now = open(weights)
  return {
    ...forwarding(() => now),
    moveTo: (next) => {
      now.dispose()
      now = open(next)
    }
  }
}

/** (1 − rate)·a + rate·b, tensor by tensor, of two models of one shape. */
export const blend = (a: Weights, b: Weights, rate: number): Weights => ({
  ...a,
  tensors: new Map(
    Array.from(a.tensors, ([name, { data, shape }]): [string, TensorData] => {
      const other = b.tensors.get(name)!.data
      return [name, { shape, data: data.map((x, i) => (1 - rate) * x + rate * other[i]!) }]
    })
  )
})

/** Moves the reference, when it is time after step `step`. */
export const follow = (how: ReferencePolicy, reference: Movable | undefined, policy: Policy, step: number): void => {
  if (reference === undefined || how._tag === "Frozen") return
  if (how._tag === "ResetEvery") {
    if (step % how.steps === 0) reference.moveTo(policy.weights())
  } else if (step % how.every === 0) {
    reference.moveTo(blend(reference.weights(), policy.weights(), how.rate))
  }
}
