import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Score } from "../../dsl/stages/Score.ts"
import type { CompletionRow, ScoredRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { scores } from "../rewards/scorer.ts"
import { openJudge } from "../training/asking.ts"
import { chunked } from "../training/chunks.ts"
import { ofScores, scoreOf, Scores, scoresBy, tellJudged } from "../training/judged.ts"
import { observer } from "../training/loop.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly completions: ReadonlyArray<CompletionRow>
  readonly reward: Weights | undefined
  readonly judge: Weights | undefined
}

/** Scores one batch of completions per chunk; see `dsl/stages/Score.ts`. */
export const score = Effect.fn("score")(function*(stage: Score, wires: Wires, scope: Scope) {
  const { completions } = wires
  const chunks = yield* chunked(scope, { scores: { items: completions.length, size: stage.batchSize } })
  const scored = yield* stage.scorer._tag === "RubricScorer"
    ? byJudge(stage.scorer, wires, scope, chunks)
    : byOthers(stage.scorer, wires, scope, chunks)
  yield* chunks.finished
  const row = (i: number): ScoredRow => ({ ...completions[i]!, score: scored[i]! })
  if ((yield* CurrentRehearsal) !== null) return lazyArray(completions.length, row)
  return completions.flatMap((_, i) => scored[i] === null ? [] : [row(i)])
}, Effect.scoped)

type Chunks = Effect.Success<ReturnType<typeof chunked>>

const byOthers = Effect.fnUntraced(function*(
  scorer: Exclude<Score["scorer"], { readonly _tag: "RubricScorer" }>,
  wires: Wires,
  scope: Scope,
  chunks: Chunks
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const reward = wires.reward === undefined
    ? undefined
    : { model: yield* observer(engine.scorer, wires.reward), codec: engine.codec(wires.reward) }
  return yield* chunks.rows("scores", {
    row: Schema.Number,
    make: Effect.fnUntraced(function*(from, to) {
      const rows = wires.completions.slice(from, to)
      const given = yield* scores(scorer, { stage: scope.label, judge, reward }, rows, from)
      const tokens = reward === undefined ? 0 : rows.reduce((sum, row) => sum + row.tokens, 0)
      return {
        rows: given,
        tokens,
        metrics: { "scores/mean": given.reduce((sum, x) => sum + x, 0) / rows.length }
      }
    })
  })
})

const byJudge = Effect.fnUntraced(function*(
  { endpoint, rubric }: Extract<Score["scorer"], { readonly _tag: "RubricScorer" }>,
  wires: Wires,
  scope: Scope,
  chunks: Chunks
) {
  const judge = yield* openJudge(scope, endpoint, wires.judge)
  const all = yield* chunks.rows("scores", {
    row: Scores,
    make: Effect.fnUntraced(function*(from, to) {
      const rows = yield* scoresBy(judge, rubric, wires.completions.slice(from, to), (i) => String(from + i))
      return { rows, tokens: 0, metrics: ofScores(rubric, rows) }
    })
  })
  yield* tellJudged(judge, () => ofScores(rubric, all))
  return all.map((scores) => scoreOf(rubric, scores))
})
