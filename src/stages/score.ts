import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Score } from "../../dsl/stages/Score.ts"
import type { CompletionRow, ScoredRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { scores } from "../rewards/scorer.ts"
import { chunked } from "../training/chunks.ts"
import { observer } from "../training/loop.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Scores one batch of completions per chunk; see `dsl/stages/Score.ts`. */
export const score = Effect.fn("score")(function*(
  stage: Score,
  wires: { readonly completions: ReadonlyArray<CompletionRow>; readonly reward: Weights | undefined },
  scope: Scope
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const { completions } = wires
  const reward = wires.reward === undefined
    ? undefined
    : { model: yield* observer(engine.scorer, wires.reward), codec: engine.codec(wires.reward) }

  const chunks = yield* chunked(scope, { scores: { items: completions.length, size: stage.batchSize } })
  const scored = yield* chunks.rows("scores", {
    row: Schema.Number,
    make: Effect.fnUntraced(function*(from, to) {
      const rows = completions.slice(from, to)
      const given = yield* scores(stage.scorer, { stage: scope.label, judge, reward }, rows, from)
      const tokens = reward === undefined ? 0 : rows.reduce((sum, row) => sum + row.tokens, 0)
      return {
        rows: given,
        tokens,
        metrics: { "scores/mean": given.reduce((sum, x) => sum + x, 0) / rows.length }
      }
    })
  })
  yield* chunks.finished
  const row = (i: number): ScoredRow => ({ ...completions[i]!, score: scored[i]! })
  return (yield* CurrentRehearsal) === null ? completions.map((_, i) => row(i)) : lazyArray(completions.length, row)
}, Effect.scoped)
