/**
 * A rehearsal runs the real code of a stage and makes a few steps on behalf of all. A plan provides a rehearsal; a run
 * makes every step.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Taking } from "./batches.ts"

export interface Rehearsal {
  /**
   * Makes a few of the steps 0 … `count` − 1, each for its share of them. The first and the last count once; a new kind
   * of step begins at each index in `turns`. With `taking`, steps are chosen by their rows.
   */
  readonly steps: <E, R>(
    count: number,
    once: (n: number) => Effect.Effect<unknown, E, R>,
    how: {
      readonly turns?: ReadonlyArray<number> | undefined
      readonly taking?: Taking | undefined
      /** Whether models are trained: completions that are sampled then serve the step alone. */
      readonly trains?: boolean
    }
  ) => Effect.Effect<void, E, R>
  /**
   * Does `once` on behalf of `times` repetitions; of nested calls the innermost counts. Its model calls are measurement
   * with `phase`, and belong to the phase of each verb without it.
   */
  readonly times: <A, E, R>(times: number, once: Effect.Effect<A, E, R>, phase?: "measure") => Effect.Effect<A, E, R>
}

export const CurrentRehearsal = Context.Reference<Rehearsal | null>("keel/Rehearsal", { defaultValue: () => null })
