/**
 * A reward made of rewards, wherever a reward model can stand as a reward. It has no weights of its own, and it takes no compute but that
 * of its parts. A part is another `Reward` or a reward model; a reward that reads text, as `verify` does, has no tokenizer, and fits
 * models of every family.
 *
 * | | reward of a completion |
 * |---|---|
 * | `verify(v)` | the verdict of a verifier, times its weight |
 * | `judge(policy \| endpoint, { rubric })` | a judge's score on the rubric's scale; the worst where no verdict can be read |
 * | `judge(policy \| endpoint, { against })` | the share of the others of its prompt (`"group"`), or of the row's `answer`, that a judge finds it better than, asked in both orders |
 * | `of(model, { reads: { after } })` | the reward model's, of the text after the last `after` (of no text where there is none) |
 * | `sum({ a, b }, { a: 2 })` | Σ weight · reward, weight 1 where none is given |
 * | `byKind({ maths: a, safety: b })` | the reward of the row's kind, its column `kind` |
 * | `gate({ when, then, otherwise })` | `then` where the condition holds, else `otherwise` (Llama 2, arXiv 2307.09288, section 3.2.3) |
 * | `sigmoid(r)`, `logit(r)` | 1 / (1 + exp −r); log r / (1 − r), r kept 10⁻⁶ from 0 and 1 |
 * | `clip(r, { min, max })` | min(max(r, min), max) |
 * | `whiten(r)` | (r − mean) / standard deviation, over the step's completions |
 * | `whiten(r, { over: "group" })` | the same over the completions of its prompt; each part of a sum by itself is GDPO (arXiv 2601.05242) |
 * | `whiten(r, { over: "run" })` | the same over all completions of the run so far |
 * | `from(n, r)` | 0 in the first n steps, then r (DeepSeek-R1, arXiv 2501.12948: preferences in the last 400 of 1,700 steps) |
 *
 * A stage without steps (`Score`, `Evaluate`) takes `from` as begun, and all its completions together for `whiten`. Where a reward is
 * observed beside KL, and in the optimum of `simulate`, `whiten` leaves numbers as they are.
 *
 * Parts are logged under their names, `rewards/NAME/mean`. Code: `src/rewards/composed.ts`.
 */
import * as Schema from "effect/Schema"
import * as Artifact from "../Artifact.ts"
import { build, define } from "../Definition.ts"
import type { JudgeFailed, UnusableData } from "../Errors.ts"
import type { VerifiersOf } from "../Extension.ts"
import * as Judge from "../Judge.ts"
import { or } from "../Training.ts"
import { Verifier } from "../Verifier.ts"
import {
  type Called,
  type Connected,
  grouped,
  groupOf,
  type Judged as JudgedWires,
  model,
  type Wires,
  wiresOf
} from "../Wires.ts"

export class Verify extends Schema.TaggedClass<Verify>()("Verify", { verifier: Verifier }) {}
export class ByJudge extends Schema.TaggedClass<ByJudge>()("ByJudge", {
  rubric: Judge.Rubric,
  /** Left out where the policy on the wire `judge` is asked. */
  endpoint: Schema.optionalKey(Judge.Endpoint)
}) {}
/** Which of two completions is better, asked in both orders. */
export class ByPairs extends Schema.TaggedClass<ByPairs>()("ByPairs", {
  against: Schema.Literals(["group", "answer"]),
  ...Judge.comparing
}) {}
export class Of extends Schema.TaggedClass<Of>()("Of", { after: Schema.NonEmptyString }) {}
export class Sum extends Schema.TaggedClass<Sum>()("Sum", {
  weights: or(Schema.Record(Schema.String, Schema.Finite), {})
}) {}
export class ByKind extends Schema.TaggedClass<ByKind>()("ByKind", { column: or(Schema.NonEmptyString, "kind") }) {}
export class Sigmoid extends Schema.TaggedClass<Sigmoid>()("Sigmoid", {}) {}
export class Logit extends Schema.TaggedClass<Logit>()("Logit", {}) {}
export class Clip extends Schema.TaggedClass<Clip>()("Clip", { min: Schema.Finite, max: Schema.Finite }) {}
export class Whiten extends Schema.TaggedClass<Whiten>()("Whiten", {
  over: or(Schema.Literals(["step", "group", "run"]), "step")
}) {}
export class From extends Schema.TaggedClass<From>()("From", { step: Schema.Natural }) {}

/** The reward on the wire `when.NAME` is below a bound. */
export class Below extends Schema.TaggedClass<Below>()("Below", { name: Schema.String, bound: Schema.Finite }) {}
export class KindIs extends Schema.TaggedClass<KindIs>()("KindIs", {
  kind: Schema.String,
  column: or(Schema.NonEmptyString, "kind")
}) {}
/** At least one of them holds. */
export class Either extends Schema.TaggedClass<Either>()("Either", {
  of: Schema.Array(Schema.Union([Below, KindIs])).check(
    Schema.isMinLength(1, { message: "needs at least one condition" })
  )
}) {}
export type Condition = Below | KindIs | Either
export class Gate extends Schema.TaggedClass<Gate>()("Gate", { when: Schema.Union([Below, KindIs, Either]) }) {}

export const Rule = Schema.Union([Verify, ByJudge, ByPairs, Of, Sum, ByKind, Gate, Sigmoid, Logit, Clip, Whiten, From])
  .pipe(Schema.toTaggedUnion("_tag"))
export type Rule = typeof Rule.Type

export class Reward extends Schema.TaggedClass<Reward>()("Reward", { rule: Rule }) {}

const part = model(["RewardModel", "Reward"], "a reward: RewardModeling.make(…), Reward.verify(…) or another Reward")
const modelPart = model(["RewardModel"], "a RewardModel: train one with RewardModeling.make(…)")

const tagOf = (params: Readonly<Record<string, any>>): string | undefined => params["rule"]?._tag

/** The wires of one use: they depend on its rule. */
const wiresFor = (connected: Connected, params: Readonly<Record<string, any>>): Wires => {
  switch (tagOf(params)) {
    case "Verify":
      return {}
    case "ByJudge":
    case "ByPairs":
      return { judge: Judge.wire }
    case "Of":
      return { of: modelPart }
    case "Sum":
    case "ByKind":
      return wiresOf("parts", connected, part)
    case "Gate":
      return { "parts.then": part, "parts.otherwise": part, ...wiresOf("when", connected, part) }
    default:
      return { of: part }
  }
}

/** The families of its parts, without those that only read text. */
const familiesIn = (wires: Connected): ReadonlyArray<string> => [
  ...new Set(
    Object.entries(wires).flatMap(([wire, { node: { family } }]) => wire === "judge" || family === "" ? [] : [family])
  )
]

const conditions = (when: Condition): ReadonlyArray<Below | KindIs> => when._tag === "Either" ? when.of : [when]

const gateMistakes = (when: Condition, wires: Connected): ReadonlyArray<string> => {
  const connected = Object.keys(groupOf("when", wires))
  const named = conditions(when).flatMap((one) => one._tag === "Below" ? [one.name] : [])
  return [
    ...named.filter((name) => !connected.includes(name)).map((name) =>
      `Reward.when.${name} is missing: connect ${part.needs}`
    ),
    ...connected.filter((name) => !named.includes(name)).map((name) =>
      `no condition reads Reward.when.${name}: leave it out`
    )
  ]
}

export const definition = define(Reward, { of: part, judge: Judge.wire }, {
  wiresOf: wiresFor,
  opens: {},
  mistakes: ({ rule }, wires) => {
    const families = familiesIn(wires)
    const names = Object.keys(groupOf("parts", wires))
    return [
      ...Object.entries(wires).map(([wire, { node: { family } }]) =>
        families.length > 1 && family !== "" &&
        `Reward.${wire} is of family '${family}', another of '${
          families.filter((one) => one !== family).join("' and '")
        }': they must share a tokenizer`
      ),
      (rule._tag === "Sum" || rule._tag === "ByKind") && names.length === 0 && "it has no parts",
      ...rule._tag !== "Sum" ?
        [] :
        Object.keys(rule.weights).map((name) =>
          !names.includes(name) && `it has a weight for '${name}', which is none of its parts`
        ),
      ...rule._tag !== "Gate" ? [] : gateMistakes(rule.when, wires),
      (rule._tag === "ByJudge" || rule._tag === "ByPairs") && Judge.whoMistake("Reward", rule.endpoint, wires.judge),
      rule._tag === "ByPairs" && rule.against === "answer" && rule.reference &&
      "its judge would see the row's answer twice, to compare with and as a reference: leave reference out",
      rule._tag === "Clip" && rule.min > rule.max && `min ${rule.min} is above max ${rule.max}`
    ]
  },
  makes: (_, wires) => ({ kind: "Reward", family: familiesIn(wires)[0] ?? "" })
})

/** The nodes of a reward, each once, down to its reward models; without caps. */
const nodesIn = (reward: Artifact.Any): ReadonlyArray<Artifact.Any> => {
  const left = [reward]
  const found = new Map<string, Artifact.Any>()
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    const { op, wires } = at.node
    if (op === "Cap") left.push(...wires["of"] === undefined ? [] : [wires["of"]])
    else if (!found.has(at.id)) {
      found.set(at.id, at)
      if (op === "Reward") left.push(...Object.values(wires))
    }
  }
  return [...found.values()]
}

/** The reward models in a reward, each once; of a reward model, itself. */
export const modelsIn = (reward: Artifact.Any): ReadonlyArray<Artifact.Any> =>
  nodesIn(reward).filter(({ node }) => node.kind === "RewardModel")

/** The rules in a reward; none of a reward model. */
export const rulesIn = (reward: Artifact.Any): ReadonlyArray<Rule> =>
  nodesIn(reward).flatMap(({ node }) =>
    node.op === "Reward" ? [(node.params as unknown as { readonly rule: Rule }).rule] : []
  )

/** The mistake of a stage that reads the mean of a reward, which is 1/2 where completions are compared with each other. */
export const groupMistake = (op: string, reward: Artifact.Any | undefined): string | false =>
  reward !== undefined && rulesIn(reward).some((rule) => rule._tag === "ByPairs" && rule.against === "group") &&
  `${op}.reward compares the completions of a prompt with each other, so that its mean is always 1/2: compare with the rows' answers, ` +
    `Reward.judge(…, { against: "answer" })`

// ── types ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of the parts `P`; `X` is needed from outside besides. */
type Made<P, X extends string = never> = Artifact.Artifact<
  "Reward",
  Artifact.FamilyOf<P>,
  Artifact.OpenOf<P>,
  0,
  Artifact.UncappedOf<P>,
  Artifact.ErrorOf<P> | UnusableData,
  Artifact.OutsideOf<P> | X
>

/** `unknown` if A is a reward whose family is the only one of `F`, else the mistake in words. */
type Part<Wire extends string, F extends string, A> = Called<A> extends "RewardModel" | "Reward"
  ? [Artifact.FamilyOf<A>] extends [never] ? unknown
  : [F] extends [Artifact.FamilyOf<A>] ? unknown
  : `Reward.${Wire} is of family '${Artifact.FamilyOf<A>}', another of '${Exclude<
    F,
    Artifact.FamilyOf<A>
  >}': they must share a tokenizer`
  : `Reward.${Wire} needs ${typeof part["needs"]}, not a ${Called<A>}`

/** The families of artefacts, by name; of what is none, none. */
type FamilyIn<T> = {
  [K in keyof T]: Called<T[K]> extends "RewardModel" | "Reward" ? Artifact.FamilyOf<T[K]> : never
}[keyof T]

type Parts<T> = JudgedWires<T, { readonly [K in keyof T]: Part<`parts.${K & string}`, FamilyIn<T>, T[K]> }>

type ModelPart<A> = Called<A> extends "RewardModel" ? unknown
  : `Reward.of needs ${typeof modelPart["needs"]}, not a ${Called<A>}`

type Weights<T> = { readonly [K in keyof NoInfer<T>]?: number }

/** A condition of a gate, and the rewards that it reads. */
export interface When<out R> {
  readonly "~reads": R
  readonly condition: Condition
  readonly rewards: Readonly<Record<string, R>>
}

/** By a judge, which adds no family. */
type Judged<A> = Artifact.Artifact<
  "Reward",
  never,
  Artifact.OpenOf<A>,
  0,
  Artifact.UncappedOf<A>,
  Artifact.ErrorOf<A> | UnusableData | JudgeFailed,
  Artifact.OutsideOf<A>
>

type Judging<A> = A extends Judge.Endpoint ? unknown
  : Called<A> extends "BaseModel" | "Policy" ? unknown
  : `Reward.judge needs a policy that judges or Judge.endpoint(…), not a ${Called<A>}`

// ── rewards ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const made = <A>(rule: Rule, wires: Readonly<Record<string, unknown>>): A => build(definition, wires, { rule })
const unchecked = { disableChecks: true } as const

export const verify = <V extends Verifier>(verifier: V): Made<never, VerifiersOf<V>> =>
  made(new Verify({ verifier }, unchecked), {})

/**
 * A judge: a policy of the pipeline, or an endpoint. It reads text, so that it fits policies of every family. It scores a completion by a
 * rubric, or compares it (`against`): of G completions it is asked G(G − 1) questions, or 2G against the answers. Equal texts, a contradiction
 * and a verdict that cannot be read are half a win each, and so is a completion that is alone.
 */
export const judge = <A>(
  who: A & Judging<A>,
  how:
    | { readonly rubric: Judge.Rubric | string }
    | (Omit<Judge.Comparing, "endpoint"> & {
      readonly against: ByPairs["against"]
    })
): A extends Judge.Endpoint ? Judged<never> : Judged<A> => {
  const [asked, wires] = who instanceof Judge.Endpoint ? [{ endpoint: who }, {}] : [{}, { judge: who }]
  if (!("rubric" in how)) {
    return made(new ByPairs({ ...how, ...asked } as typeof ByPairs["~type.make.in"], unchecked), wires)
  }
  const rubric = typeof how.rubric === "string" ? Judge.rubric(how.rubric) : how.rubric
  return made(new ByJudge({ rubric, ...asked }, unchecked), wires)
}

/** A reward model that reads only the end of a completion, such as the answer after `</think>`. */
export const of = <A>(
  model: A & ModelPart<A>,
  { reads }: { readonly reads: { readonly after: string } }
): Made<A> => made(new Of(reads, unchecked), { of: model })

export const sum = <const T extends Readonly<Record<string, unknown>>>(
  parts: T & Parts<T>,
  weights: Weights<T> = {}
): Made<T[keyof T]> => made(new Sum({ weights: weights as Record<string, number> }, unchecked), grouped("parts", parts))

/** `column` holds the kind of a row; `source` where rows of several sources are mixed, for example. */
export const byKind = <const T extends Readonly<Record<string, unknown>>>(
  parts: T & Parts<T>,
  options: { readonly column?: string } = {}
): Made<T[keyof T]> => made(new ByKind(options, unchecked), grouped("parts", parts))

export const below = <A>(reward: A & Part<"when", Artifact.FamilyOf<A>, A>, bound: number): When<A> => {
  const name = (Artifact.isArtifact(reward) ? reward : Artifact.stray(reward)).id.slice(0, 8)
  return { condition: new Below({ name, bound }, unchecked), rewards: { [name]: reward as A } } as unknown as When<A>
}
export const kindIs = (kind: string, options: { readonly column?: string } = {}): When<never> =>
  ({ condition: new KindIs({ kind, ...options }, unchecked), rewards: {} }) as unknown as When<never>
export const either = <A, B>(a: When<A>, b: When<B>): When<A | B> =>
  ({
    condition: new Either({ of: [...conditions(a.condition), ...conditions(b.condition)] }, unchecked),
    rewards: { ...a.rewards, ...b.rewards }
  }) as unknown as When<A | B>

export const gate = <R, A, B>(choice: {
  readonly when: When<R>
  readonly then: A & Part<"parts.then", Artifact.FamilyOf<R> | Artifact.FamilyOf<A> | Artifact.FamilyOf<NoInfer<B>>, A>
  readonly otherwise:
    & B
    & Part<"parts.otherwise", Artifact.FamilyOf<R> | Artifact.FamilyOf<NoInfer<A>> | Artifact.FamilyOf<B>, B>
}): Made<R | A | B> =>
  made(new Gate({ when: choice.when.condition }, unchecked), {
    "parts.then": choice.then,
    "parts.otherwise": choice.otherwise,
    ...grouped("when", choice.when.rewards)
  })

/** A reward, or the mistake in words. */
type One<A> = A & Part<"of", Artifact.FamilyOf<A>, A>

export const sigmoid = <A>(reward: One<A>): Made<A> => made(new Sigmoid(), { of: reward })
/** Of a probability: put `sigmoid` before it where the reward is a reward model's log-odds. */
export const logit = <A>(reward: One<A>): Made<A> => made(new Logit(), { of: reward })
export const clip = <A>(reward: One<A>, bounds: { readonly min: number; readonly max: number }): Made<A> =>
  made(new Clip(bounds, unchecked), { of: reward })
export const whiten = <A>(
  reward: One<A>,
  options: { readonly over?: "step" | "group" | "run" } = {}
): Made<A> => made(new Whiten(options, unchecked), { of: reward })
export const from = <A>(step: number, reward: One<A>): Made<A> => made(new From({ step }, unchecked), { of: reward })
