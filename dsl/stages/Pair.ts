/**
 * Preference pairs out of scored completions, at most one for each prompt. On-policy when the completions are the policy's own; `Mix` puts
 * the completions of several policies together first, and equal prompts are one prompt.
 *
 * `random-lower` is Tülu 3's rule (Lambert et al. 2024, arXiv 2411.15124): chosen is the best by its (mean) score, rejected a random one of those with
 * a lower score. `worst` takes the one with the lowest. A prompt whose completions all score the same says nothing and gives no
 * pair. Done by `src/stages/pair.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import type { DataError } from "../Data.ts"
import { build, type Definition } from "../Definition.ts"
import { or, Seed } from "../Training.ts"
import { type Checked, data, type Given } from "../Wires.ts"

export class Pair extends Schema.TaggedClass<Pair>()("Pair", {
  rejected: or(Schema.Literals(["random-lower", "worst"]), "random-lower"),
  seed: Seed
}) {}

const wires = { completions: data("ScoredCompletions", "scored completions, e.g. Score.byJudge(…)") } as const

export const definition = {
  op: "Pair",
  schema: Pair,
  wires,
  main: "",
  compares: () => ["a pair", 2],
  makes: "Preferences",
  rows: "completions"
} as const satisfies Definition<Pair, typeof wires>

export const make = <W extends Given>(
  connected: Checked<"Pair", typeof wires, never, W>,
  params: Exclude<typeof Pair["~type.make.in"], void> = {}
): Artifact.Output<W, "Preferences", "", Compute, 0, DataError> => build(definition, connected, params)
