/**
 * A report on models side by side: gold reward, the verdicts of verifiers, proxy reward and its accuracy on held-out pairs, KL from the
 * initial model, length, win rate by a judge, and sample completions, each with its standard error. It trains no model. Done by
 * `src/stages/evaluate.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, define } from "../Definition.ts"
import type { BudgetExceeded, JudgeFailed, UnusableData } from "../Errors.ts"
import type { RewardsOf, VerifiersOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import * as Judge from "../Judge.ts"
import { Count, NonNegative, or, Seed } from "../Training.ts"
import { Verifier } from "../Verifier.ts"
import type { Checked, CheckedWire, Given, Judged } from "../Wires.ts"
import { data, grouped, groupOf, model, optional, wiresOf } from "../Wires.ts"

export class Evaluate extends Schema.TaggedClass<Evaluate>()("Evaluate", {
  gold: Schema.optionalKey(Gold),
  /** Checks of each completion, reported one by one; checks that compare with an `answer` need it in the prompts. */
  verifiers: Schema.optionalKey(
    Schema.Array(Verifier).check(Schema.isMinLength(1, { message: "needs at least one verifier" }))
  ),
  /** By a judge that is asked in both orders: an endpoint, or the policy on the wire `judge`. */
  winRate: Schema.optionalKey(Judge.WinRate),
  /** 0 is greedy: KL needs samples, so it is then left out. */
  temperature: or(NonNegative, 1),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  /** Completions shown side by side. */
  shown: or(Schema.Natural, 3),
  seed: Seed
}) {}

const wires = {
  initial: model(["BaseModel", "Policy"], "the model that KL is measured from, e.g. initial: sft"),
  reward: optional(model(["RewardModel", "Reward"], "a RewardModel: the proxy reward to report")),
  prompts: data("Prompts", "held-out instructions, e.g. Source.prompts(…)"),
  preferences: optional(data("Preferences", "held-out pairs for the reward model's accuracy")),
  judge: Judge.wire
} as const

const policy = model(["BaseModel", "Policy"], "a policy to report on")

export const definition = define(Evaluate, wires, {
  wiresOf: (connected) => ({ ...wires, ...wiresOf("models", connected, policy) }),
  main: "initial",
  opens: { frozen: ["initial"] },
  judges: { prompts: ["models"], preferences: ["reward"] },
  mistakes: ({ winRate }, connected) => {
    const names = Object.keys(groupOf("models", connected))
    return [
      names.length === 0 && "it has no model to report on",
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
  connected: Checked<"Evaluate", typeof wires, "initial", W>,
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
