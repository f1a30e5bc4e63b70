/**
 * Several reward models as one: usable wherever a reward is (Coste et al. 2023, arXiv 2310.02743: an ensemble is over-optimised later
 * than its members). The members' rewards should mean the same: centre them, or train them on the same pairs from different seeds. It
 * has no weights of its own and trains nothing; read by `src/engine/ensemble.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import { build, define } from "../Definition.ts"
import { NonNegative } from "../Training.ts"
import { type Called, type Connected, grouped, type Judged, model } from "../Wires.ts"

/** (1/k) Σ r_i */
export class Mean extends Schema.TaggedClass<Mean>()("Mean", {}) {}
/** min r_i: worst-case optimisation (WCO). */
export class WorstCase extends Schema.TaggedClass<WorstCase>()("WorstCase", {}) {}
/** Mean less λ times the variance (1/k) Σ (r_i − mean)²: uncertainty-weighted optimisation (UWO). */
export class UncertaintyWeighted extends Schema.TaggedClass<UncertaintyWeighted>()("UncertaintyWeighted", {
  lambda: NonNegative
}) {}

export class Ensemble extends Schema.TaggedClass<Ensemble>()("Ensemble", {
  rule: Schema.Union([Mean, WorstCase, UncertaintyWeighted])
}) {}

const member = model(["RewardModel"], "a RewardModel: train one with RewardModeling.make(…)")

/** The wires of one use: `members.0`, `members.1`, … */
const wiresOf = (connected: Connected) =>
  Object.fromEntries(["members.0", ...Object.keys(connected).filter((name) => /^members\.\d+$/u.test(name))]
    .map((name) => [name, member]))

export const definition = define(Ensemble, { "members.0": member }, {
  wiresOf,
  main: "members.0",
  parent: "members.0",
  opens: {},
  mistakes: (_, connected) =>
    Object.keys(connected).length < 2 ? ["an ensemble of one is that one: give it two members or more"] : [],
  makes: "RewardModel"
})

type Members<M extends ReadonlyArray<unknown>> = {
  readonly [I in keyof M]: Called<M[I]> extends "RewardModel"
    ? [Artifact.FamilyOf<M[I]>] extends [Artifact.FamilyOf<M[0]>] ? unknown
    : `Ensemble.members is of family '${Artifact.FamilyOf<M[I]>}' but the first is of '${Artifact.FamilyOf<M[0]>}'`
    : `Ensemble.members needs reward models, not a ${Called<M[I]>}`
}

export const make = <const M extends readonly [unknown, unknown, ...Array<unknown>]>(
  members: Judged<M, Members<M>>,
  params: typeof Ensemble["~type.make.in"]
): Artifact.Output<{ readonly members: M[number] }, "RewardModel", Artifact.FamilyOf<M[0]>> =>
  build(definition, grouped("members", members), params)

export const mean = new Mean()
export const worstCase = new WorstCase()
export const uncertaintyWeighted = (options: { readonly lambda: number }): UncertaintyWeighted =>
  new UncertaintyWeighted(options, { disableChecks: true })
