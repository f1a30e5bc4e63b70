/**
 * A report on models side by side, which trains no model: on `prompts` gold reward, the verdicts of verifiers, proxy reward and its
 * accuracy on held-out pairs, KL from the initial model, length, win rate by a judge and sample completions, with standard errors; on `text` perplexity.
 * Done by `src/stages/evaluate.ts`.
 *
 * For each verifier there is an interval of 95 %, over prompts: of the share that passed, of pass@k (Chen et al. 2021, arXiv 2107.03374,
 * eq. 1) and of the majority vote of all completions of a prompt, where the verifier finds an answer in them. The last model is compared
 * with each earlier model on the same prompts: a bootstrap interval of the difference, and McNemar's exact test where each prompt has
 * one completion that passed or not.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, define } from "../Definition.ts"
import type { BudgetExceeded, JudgeFailed, UnusableData } from "../Errors.ts"
import type { RewardsOf, VerifiersOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import * as Judge from "../Judge.ts"
import { Count, NonNegative, or, precision, Seed } from "../Training.ts"
import { Verifier } from "../Verifier.ts"
import type { Checked, CheckedWire, Given, Judged } from "../Wires.ts"
import { data, grouped, groupOf, model, optional, wiresOf } from "../Wires.ts"
import { groupMistake } from "./Reward.ts"

export class Evaluate extends Schema.TaggedClass<Evaluate>()("Evaluate", {
  gold: Schema.optionalKey(Gold),
  /** Checks of each completion, reported one by one; checks that compare with an `answer` need it in the prompts. */
  verifiers: Schema.optionalKey(
    Schema.Array(Verifier).check(Schema.isMinLength(1, { message: "needs at least one verifier" }))
  ),
  /** By a judge that is asked in both orders: an endpoint, or the policy on the wire `judge`. */
  winRate: Schema.optionalKey(Judge.WinRate),
  /** Completions of each prompt, n; default 1. */
  completionsPerPrompt: Schema.optionalKey(Count),
  /** The k of pass@k, besides 1: each at most `completionsPerPrompt`. */
  passAt: Schema.optionalKey(Schema.Array(Count)),
  /** The names of the models in the order of the report; default: each before its descendants, then by name. */
  order: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Texts that end a completion and are no part of it, such as `"\n\nQuestion:"`. */
  stop: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  /** 0 is greedy: KL needs samples, so it is then left out. */
  temperature: or(NonNegative, 1),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  /** Completions shown side by side. */
  shown: or(Schema.Natural, 3),
  precision,
  seed: Seed
}) {}

const wires = {
  initial: model(["BaseModel", "Policy"], "the model that KL is measured from, e.g. initial: sft"),
  reward: optional(model(["RewardModel", "Reward"], "a RewardModel: the proxy reward to report")),
  prompts: data("Prompts", "held-out instructions, e.g. Source.prompts(…)"),
  preferences: optional(data("Preferences", "held-out pairs for the reward model's accuracy")),
  text: optional(data("Text", "held-out text for perplexity, e.g. Source.text(…)")),
  judge: Judge.wire
} as const

/** With a text, prompts may be left out. */
const wiresWithText = { ...wires, prompts: optional(wires.prompts) } as const

const policy = model(["BaseModel", "Policy"], "a policy to report on")

export const definition = define(Evaluate, wiresWithText, {
  wiresOf: (connected) => ({
    ...(connected["text"] === undefined ? wires : wiresWithText),
    ...wiresOf("models", connected, policy)
  }),
  main: "initial",
  opens: { frozen: ["initial"] },
  judges: { prompts: ["models"], preferences: ["reward"], text: ["models"] },
  mistakes: ({ completionsPerPrompt = 1, order, passAt = [], temperature, verifiers, winRate }, connected) => {
    const names = Object.keys(groupOf("models", connected))
    return [
      groupMistake("Evaluate", connected["reward"]),
      names.length === 0 && "it has no model to report on",
      order !== undefined && [...order].sort().join("\n") !== [...names].sort().join("\n") &&
      `order must name each of its models once: ${names.join(", ")}`,
      completionsPerPrompt > 1 && temperature === 0 &&
      `its ${completionsPerPrompt} completions of a prompt are all the same at temperature 0: raise temperature, or leave completionsPerPrompt out`,
      ...passAt.map((k) =>
        k > completionsPerPrompt &&
        `pass@${k} needs ${k} completions of each prompt, and it makes ${completionsPerPrompt}: raise completionsPerPrompt`
      ),
      passAt.length > 0 && verifiers === undefined && "passAt is about verifiers, and it has none: give verifiers",
      connected["prompts"] === undefined && (verifiers ?? winRate) !== undefined &&
      "verifiers and judges read completions, and it has no prompts: connect prompts",
      winRate === undefined
        ? connected.judge !== undefined &&
          "Evaluate.judge is connected, and there is no winRate that asks it: leave it out"
        : Judge.whoMistake("Evaluate", winRate.endpoint, connected.judge),
      winRate !== undefined && winRate.against !== "answer" && !names.includes(winRate.against) &&
      `winRate is against ${winRate.against}, which is none of its models: ${names.join(", ")}, or answer`
    ]
  },
  makes: "Evaluation"
})

type CheckedModels<F extends string, M> = {
  readonly [K in keyof M]: CheckedWire<"Evaluate", `models.${K & string}`, typeof policy, F, M[K]>
}

export const make = <
  W extends Given,
  M extends Given,
  const G extends Gold = never,
  V extends Verifier = never,
  J extends Judge.WinRate = never
>(
  connected: Checked<"Evaluate", "text" extends keyof W ? typeof wiresWithText : typeof wires, "initial", W>,
  models: Judged<M, CheckedModels<Artifact.FamilyOf<W["initial"]>, M>>,
  params: Omit<typeof Evaluate["~type.make.in"], "gold" | "verifiers" | "winRate"> & {
    readonly gold?: G
    readonly winRate?: J
    readonly verifiers?: ReadonlyArray<V>
  }
): Artifact.Output<
  { readonly wires: W[keyof W]; readonly models: M[keyof M] },
  "Evaluation",
  "",
  Compute,
  Artifact.AllottedOf<M[keyof M]>,
  UnusableData | BudgetExceeded | ([J] extends [never] ? never : JudgeFailed),
  RewardsOf<G> | VerifiersOf<V>
> => build(definition, { ...connected, ...grouped("models", models) }, params)
