/**
 * Rejection sampling's second half: which scored completions become demonstrations (Llama 2, Touvron et al. 2023, §3.2.3; book chapter 9).
 *
 * - `perPrompt(k)`: the k best of each prompt; k = 1 is best-of-n, whose law is F(y)ⁿ − F⁻(y)ⁿ with ties shared.
 * - `overall(k)`: the k best of all.
 * - `accept(t)`: every completion that scores at least t. The accepted are the policy's law given acceptance, and
 *   KL = D∞ = −log p_accept, exactly, for each prompt.
 *
 * `control: true` takes as many at random from the same candidates, which shows whether the scores had an effect. Equal
 * prompts are one prompt; of equal scores the first counts. Done by `src/stages/select.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count, or, Seed } from "../Training.ts"
import { data } from "../Wires.ts"

export class PerPrompt extends Schema.TaggedClass<PerPrompt>()("PerPrompt", { keep: or(Count, 1) }) {}
export class Overall extends Schema.TaggedClass<Overall>()("Overall", { keep: Count }) {}
export class Accept extends Schema.TaggedClass<Accept>()("Accept", { atLeast: Schema.Finite }) {}

export const Rule = Schema.Union([PerPrompt, Overall, Accept]).pipe(Schema.toTaggedUnion("_tag"))
export type Rule = typeof Rule.Type

export const perPrompt = (keep = 1): PerPrompt => new PerPrompt({ keep }, { disableChecks: true })
export const overall = (keep: number): Overall => new Overall({ keep }, { disableChecks: true })
export const accept = (atLeast: number): Accept => new Accept({ atLeast }, { disableChecks: true })

export class Select extends Schema.TaggedClass<Select>()("Select", {
  rule: Rule,
  /** As many as the rule would keep, at random out of the same candidates. */
  control: or(Schema.Boolean, false),
  /** Of the control. */
  seed: Seed
}) {}

export const definition = define(Select, {
  completions: data("ScoredCompletions", "scored completions, e.g. Score.byReward(…)")
}, {
  compares: ({ rule }) => rule._tag === "PerPrompt" ? [`keeping ${rule.keep} of each prompt`, rule.keep] : ["", 0],
  makes: "Demonstrations",
  rows: ({ rule }, { completions }) => Math.min(completions, rule._tag === "Overall" ? rule.keep : Infinity)
})

export const make = constructs(definition)
