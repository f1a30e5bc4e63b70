/**
 * Removes the rows whose prompt shares `ngram` consecutive words with a prompt of `against` (GPT-3's rule, Brown et al.
 * 2020, app. C, with 8 to 13 words there); a shorter prompt is removed if it equals such a prompt as a whole. Case and
 * punctuation do not matter. Done by `src/data/decontaminate.ts`.
 *
 * The tabular world of `simulate` has a handful of prompts, used for training and evaluation: there no row is removed.
 */
import * as Schema from "effect/Schema"
import { kept, rows } from "../Data.ts"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count } from "../Training.ts"

export class Decontaminate extends Schema.TaggedClass<Decontaminate>()("Decontaminate", {
  /** Words in a row that may not be shared. */
  ngram: Count
}) {}

export const definition = define(Decontaminate, {
  of: rows("rows to train on, e.g. Source.prompts(…)"),
  against: rows("what will be evaluated on, e.g. against: held")
}, {
  ...kept,
  judges: { against: [] }
})

export const make = constructs(definition)
