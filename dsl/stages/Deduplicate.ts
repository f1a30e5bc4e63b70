/**
 * Each row once: the first of those that are equal in all they say, or of those with the same prompt. Equal up to case and white space.
 * Done by `src/data/deduplicate.ts`.
 */
import * as Schema from "effect/Schema"
import { kept, rows, type SameAs } from "../Data.ts"
import { build, type Definition } from "../Definition.ts"
import { or } from "../Training.ts"
import type { Checked, Given } from "../Wires.ts"

export class Deduplicate extends Schema.TaggedClass<Deduplicate>()("Deduplicate", {
  by: or(Schema.Literals(["row", "prompt"]), "row")
}) {}

const wires = { of: rows("rows with duplicates, e.g. Source.prompts(…)") } as const

export const definition = {
  op: "Deduplicate",
  schema: Deduplicate,
  wires,
  ...kept
} as const satisfies Definition<Deduplicate, typeof wires>

export const make = <W extends Given>(
  connected: Checked<"Deduplicate", typeof wires, never, W>,
  params: Exclude<typeof Deduplicate["~type.make.in"], void> = {}
): SameAs<W> => build(definition, connected, params)
