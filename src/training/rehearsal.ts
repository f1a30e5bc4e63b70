/**
 * A rehearsal: the real code of a stage, of which a few steps stand for all of them. `plan` provides one; where nobody does,
 * every step is made.
 */
import { Context, type Effect } from "effect"
import type { Phase } from "../engine/transformer/terms.ts"

export interface Rehearsal {
  /** Which of the steps 0 … `steps` − 1 to make, ascending; each then stands for as many as its share. */
  readonly chosen: (steps: number) => ReadonlyArray<number>
  /**
   * Does `once` what the stage does `times` times in all; within another, the innermost says. What it asks of models belongs to
   * `phase`, or each verb to its own when left out.
   */
  readonly times: <A, E, R>(times: number, once: Effect.Effect<A, E, R>, phase?: Phase) => Effect.Effect<A, E, R>
}

export const CurrentRehearsal = Context.Reference<Rehearsal | null>("keel/Rehearsal", { defaultValue: () => null })
