import type * as Effect from "effect/Effect"

/** A line about rows that were looked at one after the other. */
export interface Told {
  readonly add: (row: unknown, encoded: unknown) => void
  /** Says it for a stage, where there is something to say. */
  readonly tell: (stage: string) => Effect.Effect<void>
}
