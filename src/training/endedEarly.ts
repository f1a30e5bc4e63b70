/**
 * A stage is over before its last step and makes weights that it kept: those of the last checkpoint within its KL caps. It travels as a
 * failure, through whatever the stage would still have done, and `execute` turns it into what the stage made.
 */
import * as Data from "effect/Data"
import type { Weights } from "../engine/engine.ts"

export class EndedEarly extends Data.TaggedError("EndedEarly")<{
  readonly weights: Weights
  /** The step whose policy it is. */
  readonly step: number
}> {}
