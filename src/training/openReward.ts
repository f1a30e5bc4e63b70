import * as Effect from "effect/Effect"
import { CurrentEngine } from "../engine/current.ts"
import type { Scorer, Weights } from "../engine/engine.ts"
import type { Composed, JudgeLeaf } from "../rewards/composed.ts"
import { opened } from "../rewards/rewarding.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { openJudge } from "./asking.ts"
import { scoreOf, scoresBy } from "./judged.ts"
import { observer } from "./loop.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

/** Opens a judge whose scores are rewards; when the stage ends, it tells the questions of this process. */
export const judgeOpened = Effect.fnUntraced(function*(
  scope: Pick<Scope, "key" | "label" | "limits">,
  leaf: JudgeLeaf
) {
  const { endpoint, policy, rubric } = leaf
  const [store, log, rehearsal] = [yield* Store, yield* RunLog, yield* CurrentRehearsal]
  const judge = yield* openJudge(scope, endpoint, policy)
  let [questions, unreadable, worst] = [0, 0, 0]
  yield* Effect.addFinalizer(() =>
    questions === 0 || rehearsal !== null ? Effect.void : Effect.ignore(log.emit({
      _tag: "Judged",
      stage: scope.label,
      judge: judge.name,
      judged: { "judge/questions": questions, "judge/unreadable": unreadable, "judge/worst": worst }
    }))
  )
  const ask = Effect.fnUntraced(
    function*(rows: Parameters<NonNullable<JudgeLeaf["ask"]>>[0]) {
      const all = yield* scoresBy(judge, rubric, rows)
      return all.map((scores) => {
        const values = scores.flat()
        questions += values.length
        unreadable += values.filter((value) => value === null).length
        const score = scoreOf(rubric, scores)
        if (score === null) worst++
        return score ?? rubric.scale.min
      })
    },
    Effect.provideService(Store, store)
  )
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
