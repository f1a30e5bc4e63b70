/**
 * A stage ends before its last step and returns the weights of its last checkpoint within its KL caps. `EndedEarly`
 * travels as a failure, past the remaining steps, and `execute` turns it into the result of the stage.
 */
import * as Data from "effect/Data"
import type { Weights } from "../engine/engine.ts"

export class EndedEarly extends Data.TaggedError("EndedEarly")<{
  readonly weights: Weights
  /** A KL cap, or the peak of gold reward. */
  readonly by: "cap" | "peak"
  /** The step of these weights. */
  readonly step: number
}> {}
