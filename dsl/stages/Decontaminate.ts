/**
 * Removes the rows whose prompt shares `ngram` consecutive words with a prompt of `against` (GPT-3's rule, Brown et al. 2020, app. C, with
 * 8 to 13 words there); a prompt shorter than that counts when it is the whole of one. Case and punctuation do not matter. Done by
 * `src/data/decontaminate.ts`.
 *
 * The tabular world of `simulate` has a handful of prompts, trained and evaluated on alike: there nothing is removed.
 */
import * as Schema from "effect/Schema"
import { kept, rows, type SameAs } from "../Data.ts"
import { build, type Definition } from "../Definition.ts"
import { Count } from "../Training.ts"
import type { Checked, Given } from "../Wires.ts"

export class Decontaminate extends Schema.TaggedClass<Decontaminate>()("Decontaminate", {
  /** Words in a row that may not be shared. */
  ngram: Count
}) {}

const wires = {
  of: rows("rows to train on, e.g. Source.prompts(…)"),
  against: rows("what will be evaluated on, e.g. against: held")
} as const

export const definition = {
  op: "Decontaminate",
  schema: Decontaminate,
  wires,
  ...kept,
  judges: { against: [] }
} as const satisfies Definition<Decontaminate, typeof wires>

export const make = <W extends Given>(
  connected: Checked<"Decontaminate", typeof wires, never, W>,
  params: typeof Decontaminate["~type.make.in"]
): SameAs<W> => build(definition, connected, params)
