import * as Effect from "effect/Effect"
import type { UnusableData } from "../../dsl/Errors.ts"
import type { JudgeScorer, VerifierScorer } from "../../dsl/Scorer.ts"
import { encodeDemonstrations } from "../data/encode.ts"
import type { CompletionRow } from "../data/rows.ts"
import { type Codec, offsetsOf, type Scorer as RewardModel } from "../engine/engine.ts"
import { afterLast } from "../losses/ragged.ts"
import { answered } from "./answers.ts"
import type { Judge, Unjudged } from "./judge.ts"
import { verified } from "./verified.ts"

/** The reward of each completion by a reward model. */
export const rewardsOf = (
  stage: string,
  { codec, model }: { readonly model: RewardModel; readonly codec: Codec },
  rows: ReadonlyArray<Pick<CompletionRow, "prompt" | "completion">>
): Effect.Effect<ReadonlyArray<number>, UnusableData> =>
  Effect.map(
    encodeDemonstrations({ stage, codec, context: model.context }, rows),
    (batch) => [...afterLast(model.values(batch).values, offsetsOf(batch))]
  )

/**
 * A number for each completion by a scorer that needs nothing on a wire, larger is better; `from` rows came before them. `stages/score.ts`
 * asks a reward and people, `training/judged.ts` a judge.
 */
export const scores = (
  scorer: JudgeScorer | VerifierScorer,
  { judge, stage }: { readonly stage: string; readonly judge: Judge["Service"] },
  rows: ReadonlyArray<CompletionRow>,
  from: number
): Effect.Effect<ReadonlyArray<number>, UnusableData | Unjudged> => {
  switch (scorer._tag) {
    case "JudgeScorer":
      return Effect.succeed(rows.map(({ completion, prompt }) => judge.gold(scorer.gold, prompt, completion)))
    case "VerifierScorer": {
      const questions = rows.map((row, i) => ({ ...row, row: from + i + 1 }))
      return Effect.andThen(
        answered(stage, judge, scorer.verifiers, questions),
        Effect.map(verified(stage, judge, scorer.verifiers, questions), ({ scores }) => [...scores])
      )
    }
  }
}
