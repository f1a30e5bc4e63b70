import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Metrics } from "../store/runLog.ts"
import { RunLog } from "../store/runLog.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

/**
 * The frame of a short stage from rows to rows, without models and checkpoints. An empty result is an error here, where
 * the reason is known, and not in the stage that would train on it.
 */
export const dataStage = Effect.fnUntraced(function*<A>(
  { label }: Scope,
  rows: ReadonlyArray<A>,
  empty: () => { readonly problem: string; readonly remedy: string },
  /** Not asked in a plan, whose rows are made up: they look at every row. */
  metrics: () => Metrics,
  /** Rows that it left out, and of how many, where leaving out is its purpose. */
  left?: { readonly dropped: number; readonly rows: number }
) {
  const log = yield* RunLog
  yield* log.emit({ _tag: "Started", stage: label, steps: 1, from: 0 })
  if (rows.length === 0) return yield* new UnusableData({ stage: label, ...empty() })
  if (left !== undefined && left.dropped > 0) yield* log.emit({ _tag: "Fitted", stage: label, truncated: 0, ...left })
  const told = (yield* CurrentRehearsal) === null ? metrics() : {}
  yield* log.emit({ _tag: "Step", stage: label, step: 1, steps: 1, tokens: 0, metrics: told })
  yield* log.emit({ _tag: "Finished", stage: label, tokens: 0 })
  return rows
})
