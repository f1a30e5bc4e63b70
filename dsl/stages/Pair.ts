/**
 * Preference pairs out of scored completions or of rankings. On-policy when the completions are the policy's own; `Mix` puts the completions
 * of several policies together first, and equal prompts are one prompt.
 *
 * - `random-lower`: at most one pair for each prompt; chosen is the best, rejected a random completion below it (Tülu 3, Lambert et al.
 *   2024, arXiv 2411.15124; Zephyr, Tunstall et al. 2023, arXiv 2310.16944).
 * - `worst`: the same, with the completion that is lowest.
 * - `every-lower`: every pair of which one is better, as "edited > chosen > rejected" of Llama 3 (arXiv 2407.21783) makes three.
 *
 * Equal scores or places give no pair. Done by `src/stages/pair.ts`.
 */
import * as Schema from "effect/Schema"
import type { Computed } from "../Data.ts"
import { build, define } from "../Definition.ts"
import { or, Seed } from "../Training.ts"
import { type Checked, data, type Given, optional } from "../Wires.ts"

export class Pair extends Schema.TaggedClass<Pair>()("Pair", {
  rejected: or(Schema.Literals(["random-lower", "worst", "every-lower"]), "random-lower"),
  /** Of scored completions: the chosen score is higher by at least so much. */
  minMargin: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0, { message: "must be above 0" }))),
  /** Writes the difference of the scores into the pair: the margin of a reward model's loss (Llama 2, arXiv 2307.09288, eq. 2). */
  margins: Schema.optionalKey(Schema.Literal(true)),
  seed: Seed
}) {}

export const definition = define(Pair, {
  completions: optional(data("ScoredCompletions", "scored completions, e.g. Score.byJudge(…)")),
  rankings: optional(data("Rankings", "ranked completions, e.g. Source.rankings(…)"))
}, {
  compares: () => ["a pair", 2],
  mistakes: ({ margins, minMargin }, { completions, rankings }) => [
    (completions === undefined) === (rankings === undefined) && `connect ${either}, and not both`,
    ...Object.entries({ margins, minMargin }).map(([name, given]) =>
      rankings !== undefined && given !== undefined &&
      `${name} needs scores, and rankings have places alone: leave it out`
    )
  ],
  makes: "Preferences",
  rows: ({ rejected }, { completions, rankings }) =>
    rejected === "every-lower" ? Infinity : Math.min(completions, rankings)
})

const either = "completions with scores, or rankings"

type OneOfTwo<W> = W extends { readonly completions: unknown; readonly rankings: unknown }
  ? { readonly rankings: "Pair has completions and rankings: connect one of them" }
  : W extends { readonly completions: unknown } | { readonly rankings: unknown } ? unknown
  : { readonly completions: "Pair has nothing to pair: connect completions with scores, or rankings" }

export const make = <W extends Given>(
  connected: Checked<"Pair", typeof definition.wires, never, W> & OneOfTwo<W>,
  params: typeof Pair["~type.make.in"] = {}
): Computed<W, "Preferences"> => build(definition, connected, params ?? {})
