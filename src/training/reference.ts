/** The reference of a KL penalty: one that stays, or one that follows the policy (`dsl/Reference.ts`). */
import * as Effect from "effect/Effect"
import type { ReferencePolicy } from "../../dsl/Reference.ts"
import { forwarding } from "../engine/around.ts"
import type { Policy, TensorData, Weights } from "../engine/engine.ts"
import { observer, type Opened } from "./loop.ts"
import type { At } from "./movePolicy.ts"

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

/** What is saved beside the policy: the reference, where it moves. */
export const movingReference = (
  how: ReferencePolicy,
  weights: Weights | undefined,
  open: (weights: Weights) => Policy
): Opened<{ readonly reference?: Movable }> =>
  weights === undefined || how._tag === "Frozen"
    ? {}
    : { reference: { open: movable(open), initial: weights, untrained: true } }

/** The open reference of a stage, null where it has none, and what `movePolicy` is told of it. */
export const referenceOf = Effect.fnUntraced(function*(
  how: ReferencePolicy,
  weights: Weights | undefined,
  { models, open, policy }: At<{ readonly reference?: Movable }>
) {
  const { reference: moves } = models
  const frozen = weights === undefined || moves !== undefined ? null : yield* observer(open.policy, weights)
  return {
    reference: moves ?? frozen,
    told: {
      // Weights where it stays, the policy itself where it moves: the ledger says which.
      reference: moves ?? weights,
      // The initial model is usually the reference too: one copy serves both.
      opened: frozen === null ? [] : [[weights!, frozen]] as const,
      // After KL from it was measured.
      after: (step: number) => follow(how, moves, policy, step)
    }
  }
})
