/** Caps on the spending of stages, and observation of their KL without a cap: both are the node `Cap`. `Pipeline.ts` exports them. */
import * as Function from "effect/Function"
import type { Exceeding } from "./Arithmetic.ts"
import type * as Artifact from "./Artifact.ts"
import * as Budget from "./Budget.ts"
import type { Dimension } from "./Budget.ts"
import { build } from "./Definition.ts"
import type { KlBudgetExceeded } from "./Errors.ts"
import type { Kl, Measured } from "./Kl.ts"
import { filledIn } from "./Rewrite.ts"
import { definitions } from "./Stage.ts"
import type { training } from "./Training.ts"
import type { Of } from "./Wires.ts"

export interface Limits extends Budget.Resources {
  /** Measured KL from the initial model `from`, mean over held prompts. */
  readonly kl?: Kl<"sequence", number>
  /** The same, but the 95th percentile over held prompts. */
  readonly klP95?: Kl<"sequence", number>
  /** The same, but the largest over held prompts. */
  readonly klMax?: Kl<"sequence", number>
  /** The consequence of passing one of the three. */
  readonly whenSpent?: Budget.WhenSpent
  /** The initial model. Needed with `kl`: a distance without a starting point is none. */
  readonly from?: Artifact.Any
  /**
   * Prompts on which KL of stages without held prompts of their own is measured (`Sft`, `Distill`), with the fields below. Without them
   * such a stage is measured as the last one under the cap that has some.
   */
  readonly held?: Artifact.Any
  /** Longest completion when KL is measured on `held`, tokens. */
  readonly maxNewTokens?: number
  /** As in the stages (`dsl/KlSpending.ts`), with the same defaults. */
  readonly measureEvery?: number
  readonly measureSamples?: number
  readonly measureError?: number
  readonly measureMost?: number
  /** Caps on the total of all stages that are capped here, beside the caps on each. */
  readonly total?: Budget.Totals
}

/** Any amount of any resource: `Budget.Fitting` checks the units and gives advice. */
type Given = Omit<Limits, keyof Budget.Loose> & Budget.Loose

/** Fields that need a cap on the mean. Not by `keyof`: `L` may be all that inference found. */
type Beside = { readonly klP95: unknown } | { readonly klMax: unknown } | { readonly whenSpent: unknown }

/** `unknown` if M can be an initial model, else advice. `check` judges a model of which nothing is known. */
type Initial<M, By extends string> = Artifact.Kind extends Artifact.KindOf<M> ? unknown
  : Artifact.KindOf<M> extends "BaseModel" | "Policy" ? unknown
  : `${By}: from needs the initial model, a BaseModel or a Policy, e.g. from: sft, not a ${Artifact.KindOf<M>}`

/** The same for an artefact of the family F. Data has no family: its kind is wrong already. */
type InitialIn<M, F extends string, By extends string> = [M] extends [Of<F | "">] ? unknown
  : [Exclude<F, "">] extends [never] ? unknown
  : string extends Artifact.FamilyOf<M> ? unknown
  : `${By}: from is of family '${Artifact.FamilyOf<M>}' but the policy is of '${F}': they must share a tokenizer`

type From<L, By extends string> = L extends { readonly from: infer M } ? { readonly from: Initial<M, By> } : unknown

/** Prompts, and how long a completion of them may be. */
type Held<L, By extends string> = L extends { readonly held: infer H }
  ? Artifact.KindOf<H> extends "Prompts" ? L extends { readonly maxNewTokens: unknown } ? unknown
    : {
      readonly held: `${By}: held needs maxNewTokens beside it: how long may a completion be when KL is measured?`
    }
  : {
    readonly held: `${By}: held needs Prompts to measure KL on, e.g. Source.prompts(…), not a ${Artifact.KindOf<
      H
    >}`
  }
  : unknown

/** A KL cap may end any stage below it. */
type Ended<L> = L extends { readonly kl: Kl<"sequence", number> } ? KlBudgetExceeded : never

/** Open inputs of the prompts. */
type OpenIn<L> = L extends { readonly held: infer H } ? Artifact.OpenOf<H> : never

type FromIn<L, F extends string, By extends string> = L extends { readonly from: infer M } ? InitialIn<M, F, By>
  : unknown

type Allotted<A extends number, L, By extends string> = L extends { readonly kl: Kl<"sequence", infer C> }
  ? L extends { readonly from: Of<any> } ? [Exceeding<A, C>] extends [never] ? unknown
    : `KL over budget: ${Exceeding<A, C>} mnats allotted, cap is ${C}`
  : `${By}: kl needs \`from\`, the initial model that the distance is measured from, e.g. from: sft`
  : L extends Beside ? `${By}: klP95, klMax and whenSpent stand beside kl, the cap on the mean over prompts: write both`
  : unknown

/**
 * Caps the spending of the stages between `from` and `self`: of each stage, and under `total` of all together.
 *
 * ```ts
 * import { Budget, Checkpoint, Pipeline } from "../dsl/index.ts"
 * const capped = Pipeline.cap(Checkpoint.huggingFace("llama", "models/llama"), {
 *   seconds: Budget.hours(2),
 *   total: { generated: 1_000_000, money: Budget.dollars(20) }
 * })
 * capped.node.params // => { seconds: 7200, total: { generated: 1e6, money: { currency: "USD", micros: 2e7 } } }
 * ```
 *
 * The stages' allowances must fit under the KL cap: the compiler checks literals, and `check` checks all. The cap
 * itself limits the *measured* KL from `from`: allowances are allocations, and their sum bounds nothing (RECIPES:
 * per-stage KLs do not add up).
 */
export const cap: {
  <const L extends Given>(
    limits: L & Budget.Fitting<L, keyof Limits> & From<L, "Pipeline.cap"> & Held<L, "Pipeline.cap">
  ): <
    K extends Artifact.Kind,
    F extends string,
    I extends string,
    B extends Dimension,
    A extends number,
    E,
    X extends string
  >(
    self:
      & Artifact.Artifact<K, F, I, A, B, E, X>
      & Allotted<A, L, "Pipeline.cap">
      & FromIn<L, F, "Pipeline.cap">
  ) => Artifact.Artifact<K, F, I | OpenIn<L>, A, Exclude<B, Budget.Closed<L>>, E | Ended<L>, X>
  <
    K extends Artifact.Kind,
    F extends string,
    I extends string,
    B extends Dimension,
    A extends number,
    E,
    X extends string,
    const L extends Given
  >(
    self: Artifact.Artifact<K, F, I, A, B, E, X> & Allotted<A, L, "Pipeline.cap">,
    limits: L & Budget.Fitting<L, keyof Limits> & From<L, "Pipeline.cap"> & Held<L, "Pipeline.cap"> & {
      readonly from?: FromIn<L, F, "Pipeline.cap">
    }
  ): Artifact.Artifact<K, F, I | OpenIn<L>, A, Exclude<B, Budget.Closed<L>>, E | Ended<L>, X>
} = Function.dual(
  2,
  (self: Artifact.Any, { from, held, ...limits }: Given) =>
    build(definitions.Cap, { of: self, from, held }, Budget.plain(limits))
)

// ── observation ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** How KL is measured, in a whole pipeline. */
export interface Observation extends Pick<Limits, "klP95" | "klMax" | "whenSpent" | "held" | "maxNewTokens"> {
  /** `Kl.measured`: without a cap. An amount is a cap, as `kl` of `Pipeline.cap`. */
  readonly kl: Measured | Kl<"sequence", number>
  /** The initial model that KL is measured from. */
  readonly from: Artifact.Any
  /** `measureEvery`, `measureSamples`, `measureError` and `measureMost` of stages without held prompts of their own. */
  readonly measure?: {
    readonly every?: number
    readonly samples?: number
    readonly error?: number
    readonly most?: number
  }
  /** Of every stage below that does not write it, those that made `from` too: see `dsl/Training.ts`. */
  readonly precision?: typeof training.precision.Type
  readonly recompute?: boolean
}

type Known<L, Names extends PropertyKey> = {
  readonly [K in Exclude<keyof L, Names>]: Budget.Advice<`Pipeline.observe has no '${K & string}'`>
}

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)

/**
 * Says once, for all stages between `from` and `self`, how their KL is measured, beside the method that they describe. With
 * `Kl.measured` nothing is capped, and the pipeline can run; an amount is a cap. Stages with held prompts of their own are measured on
 * those. The weights do not depend on it, but for `precision`.
 */
export const observe: {
  <const L extends Observation>(
    how: L & Known<L, keyof Observation> & From<L, "Pipeline.observe"> & Held<L, "Pipeline.observe">
  ): <
    K extends Artifact.Kind,
    F extends string,
    I extends string,
    B extends Dimension,
    A extends number,
    E,
    X extends string
  >(
    self: Artifact.Artifact<K, F, I, A, B, E, X> & Allotted<A, L, "Pipeline.observe"> & FromIn<L, F, "Pipeline.observe">
  ) => Artifact.Artifact<K, F, I | OpenIn<L>, A, Exclude<B, "kl">, E | Ended<L>, X>
  <
    K extends Artifact.Kind,
    F extends string,
    I extends string,
    B extends Dimension,
    A extends number,
    E,
    X extends string,
    const L extends Observation
  >(
    self: Artifact.Artifact<K, F, I, A, B, E, X> & Allotted<A, L, "Pipeline.observe">,
    how: L & Known<L, keyof Observation> & From<L, "Pipeline.observe"> & Held<L, "Pipeline.observe"> & {
      readonly from?: FromIn<L, F, "Pipeline.observe">
    }
  ): Artifact.Artifact<K, F, I | OpenIn<L>, A, Exclude<B, "kl">, E | Ended<L>, X>
} = Function.dual(
  2,
  (self: Artifact.Any, { from, held, measure = {}, precision, recompute, ...limits }: Observation): any => {
    const how = Object.entries(measure).map(([name, value]) => [`measure${capital(name)}`, value])
    const cap: Artifact.Any = build(definitions.Cap, { of: self, from, held }, {
      ...limits,
      ...Object.fromEntries(how)
    })
    return precision === undefined && recompute === undefined ? cap : filledIn(cap, { precision, recompute })
  }
)
