/**
 * One model out of several of the same architecture and family, by arithmetic on their weights (`dsl/MergeMethod.ts`). Policies
 * make a policy, reward models a reward model; wires depend on the method: `base` for task vectors,
 * `reward` or `preferences` to judge models and soups, `text` for weights by Bayes' rule.
 *
 * Weight averaging bounds no KL: of two experts the merge can be farther from the initial model than either (RECIPES §2.6.9).
 * So a merge of policies has no allowance; its KL from the initial model of each cap and from each parent is *measured* on held
 * prompts, and a merge of policies that spent KL has to be capped again. Done by `src/stages/merge.ts`.
 */
import * as Schema from "effect/Schema"
import * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, define } from "../Definition.ts"
import type { BudgetExceeded, Diverged, KlBudgetExceeded, Unmergeable, UnusableData } from "../Errors.ts"
import { judging, MergeMethod, mistakes as methodMistakes, needsBase, type Tag } from "../MergeMethod.ts"
import { type BesideHeld, held, measuring, measuringMistakes } from "../KlSpending.ts"
import { Count, Seed } from "../Training.ts"
import type { Called, CheckedIn, Connected, Given, Judged, Wires } from "../Wires.ts"
import { data, grouped, groupOf, model, wiresOf as groupWires } from "../Wires.ts"

export class Merge extends Schema.TaggedClass<Merge>()("Merge", {
  method: MergeMethod,
  /** Of policies, beside `held`: longest completion when KL is measured, tokens. */
  maxNewTokens: Schema.optionalKey(Count),
  /** Of policies. */
  ...measuring,
  /** Seed of DARE's drops and of the completions that judge models. */
  seed: Seed
}) {}

const policyKinds = ["BaseModel", "Policy"] as const
const baseNeeds = "the model that task vectors are measured from, e.g. base: the model the experts started from"

const policyWires = {
  base: model(policyKinds, baseNeeds),
  held,
  reward: model(["RewardModel", "Reward"], "a RewardModel, or a Reward of verifiers, that judges the models"),
  text: data("Text", "documents whose domain the weights are for, e.g. Source.text(…)")
} as const

/** Policies are judged on held prompts. */
const judgedWires = { ...policyWires, held: data("Prompts", held.needs) } as const

const rewardWires = {
  base: model(["RewardModel"], baseNeeds),
  preferences: data("Preferences", "held-out pairs that judge the models, e.g. Source.preferences(…)")
} as const

/** In messages. */
const judgedBy = { GreedySoup: "a greedy soup", Best: "the best" } as const satisfies Record<
  typeof judging[number],
  string
>

/** Two sorts of models, which do not mix. */
type Sort = "policies" | "rewards"

type Needed<S extends Sort, T extends Tag> =
  | (S extends "policies" ? "held" : never)
  | (true extends (typeof needsBase)[T] ? "base" : never)
  | (T extends typeof judging[number] ? S extends "policies" ? "reward" : "preferences" : never)
  | (T extends "Posterior" ? "text" : never)

type WiresFor<S extends Sort, T extends Tag> = S extends "policies" ? Pick<
    T extends typeof judging[number] ? typeof judgedWires : typeof policyWires,
    Needed<S, T> & keyof typeof policyWires
  >
  : Pick<typeof rewardWires, Needed<S, T> & keyof typeof rewardWires>

type SortOf<M> = [Artifact.KindOf<M[keyof M]>] extends ["RewardModel"] ? "rewards" : "policies"

/** The models of a merge, by name. */
const modelsOf = (wires: Connected): Connected => groupOf("models", wires)

const kindsIn = (wires: Connected): ReadonlyArray<Artifact.Kind> =>
  Object.values(modelsOf(wires)).map(({ node: { kind } }) => kind)

const judges = (tag: unknown): boolean => judging.some((one) => one === tag)

const ofRewards = (wires: Connected): boolean => kindsIn(wires).every((kind) => kind === "RewardModel")

/** The wires of a use: a wire for each model, and the method's own wires for models of their kind. */
const wiresOf = (connected: Connected, params: Readonly<Record<string, any>>): Wires => {
  const tag: unknown = params["method"]?._tag
  const rewards = ofRewards(connected)
  const one = rewards
    ? model(["RewardModel"], "a reward model to merge")
    : model(policyKinds, "a policy to merge with the others")
  const needed = new Set([
    ...(rewards ? [] : ["held"]),
    ...(Object.hasOwn(needsBase, tag as string) && needsBase[tag as Tag] ? ["base"] : []),
    ...(judges(tag) ? ["reward", "preferences"] : []),
    ...(tag === "Posterior" ? ["text"] : [])
  ])
  return {
    ...Object.fromEntries(
      Object.entries(rewards ? rewardWires : judges(tag) ? judgedWires : policyWires)
        .filter(([wire]) => needed.has(wire))
    ),
    ...groupWires("models", connected, one)
  }
}

/** A base model only when all of them are. */
const kindOf = (kinds: ReadonlyArray<Artifact.Kind>): Artifact.Kind =>
  kinds.every((kind) => kind === kinds[0]) ? kinds[0] ?? "Policy" : "Policy"

export const definition = define(Merge, { ...policyWires, ...rewardWires }, {
  wiresOf,
  parents: (wires) => ["base", ...Object.keys(grouped("models", modelsOf(wires)))],
  // Weights are merged as arrays; the models that measure the result are opened one after the other.
  opens: {},
  judges: { held: [], preferences: [] },
  mistakes: ({ method, ...params }, wires) => {
    const models = modelsOf(wires)
    const names = Object.keys(models)
    if (names.length === 0) return ["it has no model to merge"]
    const families = new Set(
      [...Object.values(models), ...(wires["base"] ? [wires["base"]] : [])].map((of) => of.node.family)
    )
    const rewards = ofRewards(wires)
    return [
      ...methodMistakes(method, names),
      families.size > 1 &&
      `its models are of the families ${[...families].sort().join(", ")}: they must share a tokenizer`,
      ...(rewards
        ? [params.maxNewTokens !== undefined && "maxNewTokens is of no use: reward models have no KL to measure"]
        : measuringMistakes(params, wires["held"])),
      method._tag === "Posterior" && rewards &&
      "reward models give documents no probability: merge them by other weights",
      "metric" in method && (method.metric === "accuracy") !== rewards &&
      `${judgedBy[method._tag]} of ${rewards ? "reward models goes by accuracy" : "policies goes by reward"}`
    ]
  },
  makes: (_, wires) => ({
    kind: kindOf(kindsIn(wires)),
    family: Object.values(modelsOf(wires))[0]?.node.family ?? ""
  })
})

/** The families of models to merge; data have none. */
type FamilyIn<M> = {
  [K in keyof M]: Artifact.KindOf<M[K]> extends "BaseModel" | "Policy" | "RewardModel" ? Artifact.FamilyOf<M[K]> : never
}[keyof M]

type CheckedModels<F extends string, M> = {
  readonly [K in keyof M]: Called<M[K]> extends "BaseModel" | "Policy" | "RewardModel"
    ? SortOf<M> extends "policies"
      ? Artifact.KindOf<M[K]> extends "RewardModel"
        ? `Merge.models.${K & string} is a RewardModel among policies: merge models of one kind`
      : SameFamily<F, M, K>
    : SameFamily<F, M, K>
    : `Merge.models.${K & string} needs a policy or a reward model to merge, not a ${Called<M[K]>}`
}

type SameFamily<F extends string, M, K extends keyof M> = [F] extends [Artifact.FamilyOf<M[K]>] ? unknown
  : `Merge.models.${K & string} is of family '${Artifact.FamilyOf<M[K]>}', another of '${Exclude<
    F,
    Artifact.FamilyOf<M[K]>
  >}': they must share a tokenizer`

type CheckedMethod<Me, M> = Me extends { readonly "~names"?: infer N extends string } ? string extends N ? unknown
  : [Exclude<keyof M, N>] extends [never] ? [Exclude<N, keyof M>] extends [never] ? unknown
    : `Merge.method has a weight for '${Exclude<N, keyof M>}', which is none of the models`
  : `Merge.method has no weight for the model '${Exclude<keyof M, N> & string}'`
  : unknown

type CheckedMetric<Me, S extends Sort> = Me extends
  { readonly _tag: infer T extends keyof typeof judgedBy; readonly metric: infer Metric }
  ? S extends "policies"
    ? Metric extends "reward" ? unknown : `${typeof judgedBy[T]} of policies goes by the metric reward`
  : Metric extends "accuracy" ? unknown
  : `${typeof judgedBy[T]} of reward models goes by the metric accuracy`
  : unknown

type Measuring<S extends Sort> = S extends "policies"
  ? { readonly [K in "maxNewTokens" | keyof typeof measuring]?: number }
  : { readonly [K in "maxNewTokens" | keyof typeof measuring]?: never }

type MergedKind<M> = [Artifact.KindOf<M[keyof M]>] extends ["RewardModel"] ? "RewardModel"
  : [Artifact.KindOf<M[keyof M]>] extends ["BaseModel"] ? "BaseModel"
  : "Policy"

/**
 * A merge of policies that were moved by allowances is as far away as is measured: KL is open again. Where the compiler does not know the
 * allowances, `check` asks for a cap.
 */
type Reopened<S extends Sort, A extends number> = S extends "policies"
  ? number extends A ? never : [Exclude<A, 0>] extends [never] ? never : "kl"
  : never

export const make = <W extends Given, M extends Given, const Me extends MergeMethod>(
  connected: CheckedIn<"Merge", WiresFor<SortOf<M>, Me["_tag"]>, Artifact.FamilyOf<M[keyof M]>, W>,
  models: Judged<M, CheckedModels<FamilyIn<M>, M>>,
  params: Measuring<SortOf<M>> & BesideHeld<W> & {
    readonly method: Me & CheckedMethod<Me, M> & CheckedMetric<Me, SortOf<M>>
    readonly seed?: number
  }
): Artifact.Output<
  { readonly wires: W[keyof W]; readonly models: M[keyof M] },
  MergedKind<M>,
  Artifact.FamilyOf<M[keyof M]>,
  Compute | Reopened<SortOf<M>, Artifact.AllottedOf<M[keyof M] | W["base" & keyof W]>>,
  Artifact.AllottedOf<M[keyof M] | W["base" & keyof W]>,
  Unmergeable | UnusableData | BudgetExceeded | Diverged | KlBudgetExceeded
> => build(definition, { ...connected, ...grouped("models", models) }, params)
