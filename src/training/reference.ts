/** The reference of a KL penalty: it stays, or follows the policy (`dsl/Reference.ts`). */
import * as Effect from "effect/Effect"
import type { ReferencePolicy } from "../../dsl/Reference.ts"
import { forwarding } from "../engine/around.ts"
import type { Policy, Weights } from "../engine/engine.ts"
import { observer, type Opened } from "./loop.ts"
import type { At } from "./movePolicy.ts"

/** A policy whose weights can be replaced. */
export interface Movable extends Policy {
  readonly moveTo: (weights: Weights) => void
}

/** Opens a movable policy; checkpoints save its current weights. */
export const movable = (open: (weights: Weights) => Policy) => (weights: Weights): Movable => {
  let now = open(weights)
  // Not spread, which would read the first policy only.
  return Object.assign(forwarding(() => now), {
    moveTo: (next: Weights) => {
      now.dispose()
      now = open(next)
    }
  })
}

/** Moves the reference after step `step`, when it is due. */
export const follow = (how: ReferencePolicy, reference: Movable | undefined, policy: Policy, step: number): void => {
  if (reference === undefined || how._tag === "Frozen") return
  if (how._tag === "ResetEvery") {
    if (step % how.steps === 0) reference.moveTo(policy.weights())
  } else if (step % how.every === 0) {
    reference.follow(policy, how.rate)
  }
}

/** A moving reference, which is saved beside the policy. */
export const movingReference = (
  how: ReferencePolicy,
  weights: Weights | undefined,
  open: (weights: Weights) => Policy
): Opened<{ readonly reference?: Movable }> =>
  weights === undefined || how._tag === "Frozen"
    ? {}
    : { reference: { open: movable(open), initial: weights, untrained: true } }

/** The open reference of a stage (null without a reference), and the part of it for `movePolicy`. */
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
      // Weights where the reference stays, the policy itself where it moves: the ledger distinguishes the two.
      reference: moves ?? weights,
      // The initial model is usually the reference too: one copy serves both.
      opened: frozen === null ? [] : [[weights!, frozen]] as const,
      // Runs after the measurement of KL from the reference.
      after: (step: number) => follow(how, moves, policy, step)
    }
  }
})
