import * as Effect from "effect/Effect"
import type { Score } from "../../dsl/stages/Score.ts"
import { type CompletionRow, resumed, ScoredRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { scores } from "../rewards/scorer.ts"
import { observer, openModels, train, whole } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Scores one batch of completions per step; see `dsl/stages/Score.ts`. */
export const score = Effect.fn("score")(function*(
  stage: Score,
  wires: { readonly completions: ReadonlyArray<CompletionRow>; readonly reward: Weights | undefined },
  scope: Scope
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const session = yield* openModels<Record<string, never>>(scope, {})
  const { completions } = wires
  const reward = wires.reward === undefined
    ? undefined
    : { model: yield* observer(engine.scorer, wires.reward), codec: engine.codec(wires.reward) }
  const scored = resumed(ScoredRow, session.state)

  const steps = Math.ceil(completions.length / stage.batchSize)

  yield* train(scope, session, {
    steps,
    checkpointEvery: 10,
    state: () => [...scored],
    step: Effect.fnUntraced(function*(n) {
      const rows = completions.slice(n * stage.batchSize, (n + 1) * stage.batchSize)
      const given = yield* scores(stage.scorer, { stage: scope.label, judge, reward }, rows)
      scored.push(...rows.map((row, i) => ({ ...row, score: given[i]! })))
      const tokens = reward === undefined ? 0 : rows.reduce((sum, row) => sum + row.tokens, 0)
      return { tokens, metrics: { "scores/mean": given.reduce((sum, x) => sum + x, 0) / rows.length } }
    })
  })
  const all = yield* whole(scored, completions.length)
  return all === scored
    ? scored
    : lazyArray(all.length, (i): ScoredRow => ({ ...completions[i]!, score: all[i]!.score }))
}, Effect.scoped)
