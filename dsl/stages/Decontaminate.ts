/**
 * Removes the rows whose prompt shares `ngram` consecutive words with a prompt of `against` (GPT-3's rule, Brown et al.
 * 2020, app. C, with 8 to 13 words there); a shorter prompt is removed if it equals such a prompt as a whole. With `overlap` the shared
 * runs must cover more than that share of the words of one prompt of `against` (Tülu 3, arXiv 2411.15124, section 3.2: 8 words, 0.5). With
 * ngram `"whole"` only equal prompts are removed. Case and punctuation do not matter. Done by `src/data/decontaminate.ts`.
 *
 * The tabular world of `simulate` has a handful of prompts, used for training and evaluation: there no row is removed.
 */
import * as Schema from "effect/Schema"
import { kept, rows } from "../Data.ts"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count, Fraction, or } from "../Training.ts"

export class Decontaminate extends Schema.TaggedClass<Decontaminate>()("Decontaminate", {
  /** Words in a row that may not be shared, or `"whole"`: all words of the prompt. */
  ngram: Schema.Union([Count, Schema.Literal("whole")]),
  /** Share of the words of a prompt of `against` that shared runs may cover. */
  overlap: or(Fraction, 0)
}) {}

export const definition = define(Decontaminate, {
  of: rows("rows to train on, e.g. Source.prompts(…)"),
  against: rows("what will be evaluated on, e.g. against: held")
}, {
  ...kept,
  judges: { against: [] }
})

export const make = constructs(definition)
