/**
 * Who scores a completion: a gold checker (as the labeler of `Compare`), a reward model, verifiers, a judge, or any other case
 * of this union. The score is a number in the scorer's own unit, larger is better. Code: `src/rewards/scorer.ts`.
 */
import * as Schema from "effect/Schema"
import { Gold } from "./Gold.ts"
import { Endpoint, Rubric } from "./Judge.ts"
import { Verifier } from "./Verifier.ts"

/** The gold reward, without the labeler's tastes and mistakes. */
export class JudgeScorer extends Schema.TaggedClass<JudgeScorer>()("JudgeScorer", { gold: Gold }) {}

/** The reward model on the wire `reward`: the value after the last token. */
export class RewardScorer extends Schema.TaggedClass<RewardScorer>()("RewardScorer", {}) {}

/** The sum of the weights of the verifiers whose checks hold. */
export class VerifierScorer extends Schema.TaggedClass<VerifierScorer>()("VerifierScorer", {
  verifiers: Schema.Array(Verifier).check(Schema.isMinLength(1, { message: "needs at least one verifier" }))
}) {}

/** A judge by a rubric: the endpoint, or the policy on the wire `judge`. The score is on the rubric's scale. */
export class RubricScorer extends Schema.TaggedClass<RubricScorer>()("RubricScorer", {
  rubric: Rubric,
  endpoint: Schema.optionalKey(Endpoint)
}) {}

/** People, whose verdicts are on the wire `verdicts`. The score is on the rubric's scale. */
export class PeopleScorer extends Schema.TaggedClass<PeopleScorer>()("PeopleScorer", {
  name: Schema.NonEmptyString,
  rubric: Rubric
}) {}

export const Scorer = Schema.Union([JudgeScorer, RewardScorer, VerifierScorer, RubricScorer, PeopleScorer]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type Scorer = typeof Scorer.Type
