/**
 * Preference pairs out of scored completions, at most one for each prompt. On-policy when the completions are the policy's own; `Mix` puts
 * the completions of several policies together first, and equal prompts are one prompt.
 *
 * `random-lower` is Tülu 3's rule (Lambert et al. 2024, arXiv 2411.15124): chosen is the best by its (mean) score,
 * rejected a random completion with a lower score, with `worst` the completion with the lowest. Equal scores give no
 * pair. Done by `src/stages/pair.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { or, Seed } from "../Training.ts"
import { data } from "../Wires.ts"

export class Pair extends Schema.TaggedClass<Pair>()("Pair", {
  rejected: or(Schema.Literals(["random-lower", "worst"]), "random-lower"),
  seed: Seed
}) {}

export const definition = define(Pair, {
  completions: data("ScoredCompletions", "scored completions, e.g. Score.byJudge(…)")
}, {
  compares: () => ["a pair", 2],
  makes: "Preferences",
  rows: "completions"
})

export const make = constructs(definition)
