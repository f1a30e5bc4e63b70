import * as Effect from "effect/Effect"
import { CurrentEngine } from "../engine/current.ts"
import type { Scorer, Weights } from "../engine/engine.ts"
import type { ByJudge, ByPairs } from "../../dsl/stages/Reward.ts"
import type { Composed, JudgeLeaf } from "../rewards/composed.ts"
import { opened } from "../rewards/rewarding.ts"
import { type Metrics, RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { openJudge } from "./asking.ts"
import { ofOrders, type Orders, scoreOf, scoresBy } from "./judged.ts"
import { observer } from "./loop.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"
import { winsBy } from "./wins.ts"

/** Opens a judge whose scores or comparisons are rewards; when the stage ends, it tells the questions of this process. */
export const judgeOpened = Effect.fnUntraced(function*(
  scope: Pick<Scope, "key" | "label" | "limits">,
  leaf: JudgeLeaf
) {
  const { how, policy } = leaf
  const [store, log, rehearsal] = [yield* Store, yield* RunLog, yield* CurrentRehearsal]
  const judge = yield* openJudge(scope, how.endpoint, policy)
  let [questions, unreadable, worst, alone] = [0, 0, 0, 0]
  const orders: Array<Orders> = []
  const judged = (): Metrics => {
    if (how._tag === "ByJudge") {
      return { "judge/questions": questions, "judge/unreadable": unreadable, "judge/worst": worst }
    }
    const { "judge/left_out": _, ...own } = ofOrders(orders)
    return { ...own, "judge/alone": alone }
  }
  yield* Effect.addFinalizer(() =>
    questions === 0 && alone === 0 || rehearsal !== null ? Effect.void : Effect.ignore(log.emit({
      _tag: "Judged",
      stage: scope.label,
      judge: judge.name,
      judged: judged()
    }))
  )
  type Rows = Parameters<NonNullable<JudgeLeaf["ask"]>>[0]
  const scores = Effect.fnUntraced(function*(rows: Rows, { rubric }: ByJudge) {
    const all = yield* scoresBy(judge, rubric, rows)
    return all.map((scores) => {
      const values = scores.flat()
      questions += values.length
      unreadable += values.filter((value) => value === null).length
      const score = scoreOf(rubric, scores)
      if (score === null) worst++
      return score ?? rubric.scale.min
    })
  })
  const wins = Effect.fnUntraced(function*(rows: Rows, how: ByPairs) {
    const all = yield* winsBy(judge, how, rows)
    questions += 2 * all.orders.length
    alone += all.alone
    orders.push(...all.orders)
    return all.shares
  })
  const ask = (rows: Rows) =>
    Effect.provideService(how._tag === "ByJudge" ? scores(rows, how) : wins(rows, how), Store, store)
  // Errors of the store pass through: every stage may end with them.
  return { ...leaf, ask: ask as NonNullable<JudgeLeaf["ask"]> } satisfies JudgeLeaf as JudgeLeaf
})

/** A reward with its models and judges open for observation; they are closed with the scope. */
export const openReward = Effect.fnUntraced(function*(
  scope: Pick<Scope, "key" | "label" | "limits">,
  reward: Composed<Weights>,
  open: (weights: Weights) => Scorer
) {
  const { codec } = yield* CurrentEngine
  return yield* opened(reward, (weights) => observer(open, weights), codec, (leaf) => judgeOpened(scope, leaf))
})
