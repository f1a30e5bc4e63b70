/**
 * Each row once: the first of those that are equal in all they say, or of those with the same prompt. Equal up to case and white space.
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
