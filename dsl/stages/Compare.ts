/**
 * Comparison data: for each prompt the policy writes `completionsPerPrompt` answers and a labeler picks the better of
 * each pair (InstructGPT §3.4, K = 4 … 9). The labeler prefers by Bradley–Terry on the gold reward, with the noise and
 * the biases of `src/rewards/labeler.ts`: a reward model learns a *proxy* from it. Done by `src/stages/compare.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Gold } from "../Gold.ts"
import { Count, or, Positive, Seed } from "../Training.ts"
import { data, model } from "../Wires.ts"

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

export const definition = define(Compare, {
  policy: model(["BaseModel", "Policy"], "the policy that writes the answers, e.g. the output of Sft.make(…)"),
  prompts: data("Prompts", "instructions, e.g. Source.prompts(…)")
}, {
  main: "policy",
  opens: { frozen: ["policy"] },
  makes: "Preferences",
  rows: ({ completionsPerPrompt: k }, { prompts }) => prompts * k * (k - 1) / 2
})

export const make = constructs(definition)
