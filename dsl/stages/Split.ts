/**
 * Two parts that share no prompt. On which side a row stands depends on its prompt and the seed alone: duplicates stay together, and more
 * rows leave the earlier rows where they are. Done by `src/data/split.ts`.
 *
 * The tabular world of `simulate` has a handful of prompts and none to hold out: there both parts have all prompts.
 */
import * as Schema from "effect/Schema"
import { kept, rows, type SameAs } from "../Data.ts"
import { build, define } from "../Definition.ts"
import { Fraction, or, Seed } from "../Training.ts"
import type { Checked, Given } from "../Wires.ts"

export class Split extends Schema.TaggedClass<Split>()("Split", {
  /** Expected share of the prompts in the part `first`. */
  fraction: Fraction,
  part: or(Schema.Literals(["first", "rest"]), "first"),
  seed: Seed
}) {}

export const definition = define(Split, { of: rows("rows to split, e.g. Source.prompts(…)") }, {
  ...kept,
  mistakes: ({ fraction }) =>
    fraction > 0 && fraction < 1 ? [] : [`fraction ${fraction} leaves one part empty: take one between 0 and 1`]
})

/** `[first, rest]`: disjoint, and together everything. */
export const make = <W extends Given>(
  connected: Checked<"Split", typeof definition.wires, never, W>,
  params: Omit<typeof Split["~type.make.in"], "part">
): readonly [first: SameAs<W>, rest: SameAs<W>] =>
  (["first", "rest"] as const).map((part) => build(definition, connected, { ...params, part })) as never
