import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UnusableData } from "../../dsl/Errors.ts"
import type { JudgeScorer, PeopleScorer, RubricScorer, VerifierScorer } from "../../dsl/Scorer.ts"
import type { Score } from "../../dsl/stages/Score.ts"
import { encodeDemonstrations } from "../data/encode.ts"
import type { CompletionRow, ScoredRow } from "../data/rows.ts"
import { mapped, selected, viewed } from "../data/lazyArray.ts"
import { scoresIn } from "../data/verdicts.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { combined, compares, type Composed, leavesOf } from "../rewards/composed.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable, momentOf, numbersOf } from "../rewards/rewarding.ts"
import { scores } from "../rewards/scorer.ts"
import { dataStage } from "../training/dataStage.ts"
import { openJudge } from "../training/asking.ts"
import { chunked } from "../training/chunks.ts"
import { ofScores, scoreOf, Scores, scoresBy, tellJudged } from "../training/judged.ts"
import { whole } from "../training/loop.ts"
import { openReward } from "../training/openReward.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly completions: ReadonlyArray<CompletionRow>
  readonly reward: Composed<Weights> | undefined
  readonly judge: Weights | undefined
  readonly verdicts: ReadonlyArray<ScoredRow> | undefined
}

/** Scores one batch of completions per chunk; see `dsl/stages/Score.ts`. */
export const score = Effect.fn("score")(function*(stage: Score, wires: Wires, scope: Scope) {
  const { completions } = wires
  const world = (yield* CurrentEngine).kind === "tabular"
  if (stage.scorer._tag === "PeopleScorer" && !world) return yield* byPeople(stage.scorer, wires, scope)
  const chunks = yield* chunked(scope, { scores: { items: completions.length, size: stage.batchSize } })
  const { scorer } = stage
  const scored: ReadonlyArray<number | null> = yield* scorer._tag === "RubricScorer" || scorer._tag === "PeopleScorer"
    ? byJudge(scorer, wires, scope, chunks)
    : scorer._tag === "RewardScorer"
    ? byReward(wires, scope, chunks)
    : byOthers(scorer, wires, scope, chunks)
  yield* chunks.finished
  if ((yield* CurrentRehearsal) !== null) {
    return viewed(completions.length, (i): ScoredRow => ({ ...completions[i]!, score: scored[i]! }))
  }
  const known = scored.filter((score) => score !== null)
  const rows = known.length === scored.length ? completions : selected(completions, (_, i) => scored[i] !== null)
  return mapped(rows, (row, i): ScoredRow => ({ ...row, score: known[i]! }))
}, Effect.scoped)

type Chunks = Effect.Success<ReturnType<typeof chunked>>

/** By verifiers or the gold reward. */
const byOthers = Effect.fnUntraced(function*(
  scorer: JudgeScorer | VerifierScorer,
  { completions }: Wires,
  { label: stage }: Scope,
  chunks: Chunks
) {
  const judge = yield* Judge
  return yield* chunks.rows("scores", {
    row: Schema.Number,
    make: (from, to) =>
      Effect.map(scores(scorer, { stage, judge }, completions.slice(from, to), from), (rows) => ({
        rows,
        tokens: 0,
        metrics: { "scores/mean": mean(rows) }
      }))
  })
})

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, x) => sum + x, 0) / values.length

/** Rows that stand for all in a plan, whose completions are made up. */
const looked = 2 ** 12

/** By a reward: its leaves in chunks, and the reward of them when all are there, because `whiten` reads all. What compares is asked last. */
const byReward = Effect.fnUntraced(function*(
  { completions, reward: wired }: Wires,
  scope: Scope,
  chunks: Chunks
) {
  const stage = scope.label
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const planned = (yield* CurrentRehearsal) !== null
  if (wired === undefined) throw new Error(`${stage} scores by a reward and has none`)
  yield* judgeable(stage, judge, wired, planned ? completions.slice(0, looked) : completions)
  const reward = yield* openReward(scope, wired, engine.scorer)
  const [leaves, moment] = [leavesOf(reward), momentOf(judge)]
  const kept = yield* chunks.rows("scores", {
    row: Schema.Array(Schema.NullOr(Schema.Number)),
    make: Effect.fnUntraced(function*(from, to) {
      const some = completions.slice(from, to)
      const questions = some.map((row, i) => ({ ...row, row: from + i + 1 }))
      const numbers = yield* numbersOf(
        { stage, judge },
        reward,
        questions,
        ({ codec, scorer }) => encodeDemonstrations({ stage, codec, context: scorer.context, told: true }, some),
        moment,
        (leaf) => !compares(leaf)
      )
      const { scores } = yield* combined(stage, reward, numbers, questions, moment)
      return {
        rows: some.map((_, i) => leaves.map((leaf) => numbers.get(leaf)![i]!)),
        tokens: some.reduce((sum, row) => sum + row.tokens, 0),
        metrics: leaves.some(compares) ? {} : { "scores/mean": mean([...scores]) }
      }
    })
  })
  const some = planned ? kept.slice(0, looked) : kept
  const all = new Map<typeof leaves[number], ReadonlyArray<number | null>>(
    leaves.map((leaf, l) => [leaf, some.map((row) => row[l]!)])
  )
  const compared = leaves.filter(compares)
  if (compared.length > 0) {
    const asked = mapped(completions, (row, i) => ({ ...row, row: i + 1 }))
    const numbers = yield* numbersOf({ stage, judge }, reward, asked, () => Effect.succeed([]), moment, compares)
    for (const leaf of compared) all.set(leaf, numbers.get(leaf)!.slice(0, some.length))
  }
  const questions = mapped(
    planned ? completions.slice(0, some.length) : completions,
    (row, i) => ({ ...row, row: i + 1 })
  )
  return yield* whole([...(yield* combined(stage, reward, all, questions, moment)).scores], completions.length)
})

const byJudge = Effect.fnUntraced(function*(
  scorer: RubricScorer | PeopleScorer,
  wires: Wires,
  scope: Scope,
  chunks: Chunks
) {
  const { rubric } = scorer
  const judge = scorer._tag === "PeopleScorer"
    // They see the gold reward of a world, as every judge does.
    ? yield* openJudge(scope, undefined, undefined, scorer.name)
    : yield* openJudge(scope, scorer.endpoint, wires.judge)
  const all = yield* chunks.rows("scores", {
    row: Scores,
    make: Effect.fnUntraced(function*(from, to) {
      const rows = yield* scoresBy(judge, rubric, wires.completions.slice(from, to))
      return { rows, tokens: 0, metrics: ofScores(rubric, rows) }
    })
  })
  yield* tellJudged(judge, () => ofScores(rubric, all))
  return mapped(all, (scores) => scoreOf(rubric, scores))
})

/** The verdicts on the completions; a plan takes all verdicts, because it makes up the completions. */
const byPeople = Effect.fnUntraced(function*(
  { name, rubric: { scale: { max, min } } }: PeopleScorer,
  { completions, verdicts = [] }: Wires,
  scope: Scope
) {
  const planned = (yield* CurrentRehearsal) !== null
  const outside = planned ? -1 : verdicts.findIndex(({ score }) => score < min || score > max)
  if (outside >= 0) {
    return yield* new UnusableData({
      stage: scope.label,
      problem: `row ${outside + 1} of the verdicts of ${name} scores ${
        verdicts[outside]!.score
      }, outside of ${min} to ${max}`,
      remedy: "Give the rubric the scale on which they scored."
    })
  }
  const { scores, unmatched } = planned ? { scores: [], unmatched: 0 } : scoresIn(completions, verdicts)
  const rows = planned
    ? verdicts
    : completions.flatMap((row, i): ReadonlyArray<ScoredRow> =>
      scores[i] === null ? [] : [{ ...row, score: scores[i]! }]
    )
  return yield* dataStage(scope, rows, () => ({
    problem: `of ${verdicts.length} verdicts of ${name} none is on one of its ${completions.length} completions`,
    remedy: "Have these completions judged, and write their texts into the verdicts as they are."
  }), () => ({
    "verdicts": verdicts.length,
    "verdicts/of_other_completions": unmatched,
    "scores/mean": mean(rows.map(({ score }) => score))
  }), { dropped: planned ? 0 : completions.length - rows.length, rows: completions.length })
})
