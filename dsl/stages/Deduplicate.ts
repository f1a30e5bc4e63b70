/**
 * Keeps the first of rows with equal text, or with the same prompt. Case and white space do not matter.
 * Done by `src/data/deduplicate.ts`.
 */
import * as Schema from "effect/Schema"
import { kept, rows } from "../Data.ts"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { or } from "../Training.ts"

export class Deduplicate extends Schema.TaggedClass<Deduplicate>()("Deduplicate", {
  by: or(Schema.Literals(["row", "prompt"]), "row")
}) {}

export const definition = define(Deduplicate, { of: rows("rows with duplicates, e.g. Source.prompts(…)") }, {
  ...kept
})

export const make = constructs(definition)
