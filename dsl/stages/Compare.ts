/**
 * Comparison data: for each prompt the policy writes `completionsPerPrompt` answers and a labeler says of each pair which is
 * better (InstructGPT §3.4, K = 4 … 9). The labeler prefers by Bradley–Terry on the gold reward, with the noise and the
 * biases of `src/rewards/labeler.ts`: what a reward model learns from it is a *proxy*. Done by `src/stages/compare.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, type Definition } from "../Definition.ts"
import type { BudgetExceeded, UnusableData } from "../Errors.ts"
import type { RewardsOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import { Count, or, Positive, Seed } from "../Training.ts"
import { type Checked, data, type Given, model } from "../Wires.ts"

export class Compare extends Schema.TaggedClass<Compare>()("Compare", {
  gold: Gold,
  completionsPerPrompt: or(
    Schema.Int.check(Schema.isGreaterThan(1, { message: "a pair needs at least 2 completions" })),
    2
  ),
  temperature: or(Positive, 1),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  seed: Seed
}) {}

const wires = {
  policy: model(["BaseModel", "Policy"], "the policy that writes the answers, e.g. the output of Sft.make(…)"),
  prompts: data("Prompts", "instructions, e.g. Source.prompts(…)")
} as const

export const definition = {
  op: "Compare",
  schema: Compare,
  wires,
  main: "policy",
  opens: { frozen: ["policy"] },
  makes: "Preferences",
  rows: ({ completionsPerPrompt: k }, { prompts }) => prompts * k * (k - 1) / 2
} as const satisfies Definition<Compare, typeof wires>

export const make = <W extends Given, const G extends Gold>(
  connected: Checked<"Compare", typeof wires, "policy", W>,
  params: Omit<typeof Compare["~type.make.in"], "gold"> & { readonly gold: G }
): Artifact.Output<
  W,
  "Preferences",
  "",
  Compute,
  0,
  UnusableData | BudgetExceeded,
  RewardsOf<G>
> => build(definition, connected, params)
