/**
 * Comparison data: for each prompt the policy writes `completionsPerPrompt` answers and a labeler picks the better of
 * each pair (InstructGPT §3.4, K = 4 … 9). The labeler prefers by Bradley–Terry on the gold reward, with the noise and
 * the biases of `src/rewards/labeler.ts`: a reward model learns a *proxy* from it. Or the labels are a judge's (RLAIF, Lee et al. 2023,
 * arXiv 2309.00267), which is asked in both orders: pairs on which it contradicts itself, or sees a tie, are left out and counted. Done by
 * `src/stages/compare.ts`.
 */
import * as Schema from "effect/Schema"
import type { Computed } from "../Data.ts"
import { build, define } from "../Definition.ts"
import type { JudgeFailed } from "../Errors.ts"
import type { RewardsOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import * as Judge from "../Judge.ts"
import { Count, or, Positive, precision, Seed } from "../Training.ts"
import { type Checked, data, type Given, model } from "../Wires.ts"

export class Compare extends Schema.TaggedClass<Compare>()("Compare", {
  /** What the labeler sees; left out where a judge labels. */
  gold: Schema.optionalKey(Gold),
  judge: Schema.optionalKey(Judge.Pairwise),
  completionsPerPrompt: or(
    Schema.Int.check(Schema.isGreaterThan(1, { message: "a pair needs at least 2 completions" })),
    2
  ),
  temperature: or(Positive, 1),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  precision,
  seed: Seed
}) {}

const labeled = {
  policy: model(["BaseModel", "Policy"], "the policy that writes the answers, e.g. the output of Sft.make(…)"),
  prompts: data("Prompts", "instructions, e.g. Source.prompts(…)")
} as const
const wires = { ...labeled, judge: Judge.wire } as const

export const definition = define(Compare, wires, {
  main: "policy",
  opens: { frozen: ["policy"] },
  mistakes: ({ gold, judge }, connected) => [
    (gold === undefined) === (judge === undefined) &&
    `Compare needs who labels the pairs: gold, a checker that a labeler sees, or judge${
      gold === undefined ? "" : ", not both"
    }`,
    judge === undefined
      ? connected.judge !== undefined &&
        "Compare.judge is connected, but the labels are the labeler's: leave gold out, or the judge"
      : Judge.whoMistake("Compare", judge.endpoint, connected.judge)
  ],
  makes: "Preferences",
  rows: ({ completionsPerPrompt: k }, { prompts }) => prompts * k * (k - 1) / 2
})

type Options = Omit<typeof Compare["~type.make.in"], "gold" | "judge">

/** By a labeler that sees the gold reward. */
export const make = <W extends Given, const G extends Gold>(
  connected: Checked<"Compare", typeof labeled, "policy", W>,
  params: Options & { readonly gold: G }
): Computed<W, "Preferences", RewardsOf<G>> => build(definition, connected, params)

/** By a judge: a policy on the wire `judge`, of any family, or an endpoint. */
export const byJudge = <W extends Given>(
  connected: Checked<"Compare", typeof wires, "policy", W>,
  { asks, endpoint, reference, ...params }: Options & Judge.Comparing
): Computed<W, "Preferences", never, JudgeFailed> =>
  build(definition, connected, { ...params, judge: Judge.pairwise({ asks, endpoint, reference }) })
