/**
 * Keeps the first of rows with equal text, or with the same prompt. Case and white space do not matter. With `near` it also drops a row that
 * is nearly a kept row: the sets of their runs of `ngram` words have a Jaccard similarity |A ∩ B| / |A ∪ B| of at least `similarity`
 * (Lee et al. 2022, arXiv 2107.06499, section 4.2). Done by `src/data/deduplicate.ts`.
 */
import * as Schema from "effect/Schema"
import { kept, rows } from "../Data.ts"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count, Fraction, or } from "../Training.ts"

export class Deduplicate extends Schema.TaggedClass<Deduplicate>()("Deduplicate", {
  by: or(Schema.Literals(["row", "prompt"]), "row"),
  near: Schema.optionalKey(Schema.Struct({
    similarity: or(
      Fraction.check(Schema.isBetween({ minimum: 0.5, maximum: 1 }, { message: "must be from 0.5 to 1" })),
      0.8
    ),
    /** Words in a run; a shorter text is one run. */
    ngram: or(Count, 5)
  }))
}) {}

export const definition = define(Deduplicate, { of: rows("rows with duplicates, e.g. Source.prompts(…)") }, {
  ...kept
})

export const make = constructs(definition)
