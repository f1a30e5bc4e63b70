/**
 * Scores completions: by a gold reward, a reward model, verifiers, a judge, people, or another `Scorer`. The completions stay unchanged, so
 * several scorers can judge them. A completion without a verdict of the judge that can be read, or of people, is left out and counted. Done by
 * `src/stages/score.ts`.
 */
import * as Schema from "effect/Schema"
import type { Computed } from "../Data.ts"
import { build, define } from "../Definition.ts"
import type { JudgeFailed } from "../Errors.ts"
import type { RewardsOf, VerifiersOf } from "../Extension.ts"
import type { Gold } from "../Gold.ts"
import * as Judge from "../Judge.ts"
import { JudgeScorer, PeopleScorer, RewardScorer, RubricScorer, Scorer, VerifierScorer } from "../Scorer.ts"
import { Count, or, precision } from "../Training.ts"
import type { Verifier } from "../Verifier.ts"
import { type Checked, data, type Given, model, optional } from "../Wires.ts"

export class Score extends Schema.TaggedClass<Score>()("Score", {
  scorer: Scorer,
  /** Completions scored at a time: bounds the memory of a call. */
  batchSize: or(Count, 256),
  precision
}) {}

const completions = data("Completions", "completions, e.g. Sample.make(…)")
const reward = model(["RewardModel", "Reward"], "a RewardModel: train one with RewardModeling.make(…)")
const judged = { completions } as const
const rewarded = { completions, reward } as const
const asked = { completions, judge: Judge.wire } as const
const answered = {
  completions,
  verdicts: data("ScoredCompletions", "the scores that people gave, e.g. Source.scoredCompletions(…)")
} as const
const wires = {
  completions,
  reward: optional(reward),
  judge: Judge.wire,
  verdicts: optional(answered.verdicts)
} as const

export const definition = define(Score, wires, {
  main: "reward",
  opens: { frozen: ["reward"] },
  mistakes: ({ scorer }, { judge, reward: connected, verdicts }) => [
    (scorer._tag === "PeopleScorer") !== (verdicts !== undefined) &&
    (verdicts === undefined
      ? `Score.verdicts is missing: connect ${answered.verdicts.needs}`
      : `Score.verdicts is connected, but its scorer is ${scorer._tag}: leave the verdicts out`),
    scorer._tag === "RubricScorer"
      ? Judge.whoMistake("Score", scorer.endpoint, judge)
      : judge !== undefined && `Score.judge is connected, but its scorer is ${scorer._tag}: leave the judge out`,
    scorer._tag === "RewardScorer" && connected === undefined && `Score.reward is missing: connect ${reward.needs}`,
    scorer._tag !== "RewardScorer" && connected !== undefined &&
    `Score.reward is connected, but its scorer is ${scorer._tag}: leave the reward model out or score by it`
  ],
  makes: "ScoredCompletions",
  rows: "completions",
  candidates: "completions"
})

type Options = Omit<typeof Score["~type.make.in"], "scorer">
type Scored<W, X extends string = never, E = never> = Computed<W, "ScoredCompletions", X, E>

/** By the reward model on the wire `reward`. */
export const byReward = <W extends Given>(
  connected: Checked<"Score", typeof rewarded, "reward", W>,
  options: Options = {}
): Scored<W> => build(definition, connected, { ...options, scorer: new RewardScorer() })

/** By people, whose verdicts are rows; `Judge.make` takes their file. */
export const byPeople = <W extends Given>(
  connected: Checked<"Score", typeof answered, never, W>,
  { name, rubric, ...options }: Options & { readonly name: string; readonly rubric: Judge.Rubric }
): Scored<W> =>
  build(definition, connected, { ...options, scorer: new PeopleScorer({ name, rubric }, { disableChecks: true }) })

/** By a judge that sees the gold reward. */
export const byJudge = <W extends Given, const G extends Gold>(
  connected: Checked<"Score", typeof judged, never, W>,
  { gold, ...options }: Options & { readonly gold: G }
): Scored<W, RewardsOf<G>> => build(definition, connected, { ...options, scorer: new JudgeScorer({ gold }) })

/** By checks that a program can make; checks that compare with an `answer` need it in the prompts. */
export const byVerifier = <W extends Given, V extends Verifier>(
  connected: Checked<"Score", typeof judged, never, W>,
  { verifiers, ...options }: Options & { readonly verifiers: ReadonlyArray<V> }
): Scored<W, VerifiersOf<V>> =>
  build(definition, connected, {
    ...options,
    scorer: new VerifierScorer({ verifiers }, { disableChecks: true })
  })

/**
 * By a judge: each criterion of the rubric is asked by itself, and the score is their weighted mean on the rubric's scale. The judge is a
 * policy on the wire `judge`, of any family, or an endpoint.
 */
export const byRubric = <W extends Given>(
  connected: Checked<"Score", typeof asked, never, W>,
  { endpoint, rubric, ...options }: Options & { readonly rubric: Judge.Rubric; readonly endpoint?: Judge.Endpoint }
): Scored<W, never, JudgeFailed> =>
  build(definition, connected, {
    ...options,
    scorer: new RubricScorer({ rubric, ...(endpoint === undefined ? {} : { endpoint }) }, { disableChecks: true })
  })
