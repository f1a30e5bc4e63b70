import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import type { UnusableData } from "../../dsl/Errors.ts"
import type { RubricScorer, Scorer } from "../../dsl/Scorer.ts"
import { encodeDemonstrations } from "../data/encode.ts"
import type { CompletionRow } from "../data/rows.ts"
import { type Codec, offsetsOf, type Scorer as RewardModel } from "../engine/engine.ts"
import { afterLast } from "../losses/ragged.ts"
import { answered } from "./answers.ts"
import type { Judge, Unjudged } from "./judge.ts"
import { verified } from "./verified.ts"

/** The parts that a scorer may need: the judge is always there, the other parts only when wired. */
export interface Using {
  readonly stage: string
  readonly judge: Judge["Service"]
  readonly reward: { readonly model: RewardModel; readonly codec: Codec } | undefined
}

/** The reward of each completion by a reward model. */
export const rewardsOf = (
  stage: string,
  { codec, model }: NonNullable<Using["reward"]>,
  rows: ReadonlyArray<Pick<CompletionRow, "prompt" | "completion">>,
  told = false
): Effect.Effect<ReadonlyArray<number>, UnusableData> =>
  Effect.map(
    encodeDemonstrations({ stage, codec, context: model.context, told }, rows),
    (batch) => [...afterLast(model.values(batch).values, offsetsOf(batch))]
  )

/**
 * A number for each completion, larger is better; `from` rows came before them. A case for each scorer of `dsl/Scorer.ts` but a judge, which
 * `training/judged.ts` asks.
 */
export const scores = (
  scorer: Exclude<Scorer, RubricScorer>,
  { judge, reward, stage }: Using,
  rows: ReadonlyArray<CompletionRow>,
  from = 0
): Effect.Effect<ReadonlyArray<number>, UnusableData | Unjudged> =>
  Match.valueTags(scorer, {
    JudgeScorer: ({ gold }) =>
      Effect.succeed(rows.map(({ completion, prompt }) => judge.gold(gold, prompt, completion))),
    VerifierScorer: ({ verifiers }) =>
      Effect.andThen(
        answered(stage, judge, verifiers, rows),
        Effect.map(
          verified(stage, judge, verifiers, rows.map((row, i) => ({ ...row, row: from + i + 1 }))),
          ({ scores }) => [...scores]
        )
      ),
    RewardScorer: () => {
      if (reward === undefined) throw new Error(`${stage} scores by a reward model and has none`)
      return rewardsOf(stage, reward, rows, true)
    }
  })
