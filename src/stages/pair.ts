import * as Effect from "effect/Effect"
import type { Pair } from "../../dsl/stages/Pair.ts"
import { pair as paired } from "../data/pair.ts"
import { groupedByPrompt, type ScoredRow } from "../data/rows.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

/** Pairs the best completion of each prompt with a lower one; see `dsl/stages/Pair.ts`. */
export const pair = Effect.fn("pair")(function*(
  stage: Pair,
  wires: { readonly completions: ReadonlyArray<ScoredRow> },
  scope: Scope
) {
  const pairs = paired(wires.completions, stage.rejected, scope.stream)
  const prompts = groupedByPrompt(wires.completions).length
  return yield* dataStage(scope, pairs, {
    problem: `no prompt of ${prompts} has two completions with different scores`,
    remedy: "Sample more completions per prompt, at a higher temperature, or score them more finely."
  }, { "prompts_with_a_pair": pairs.length / prompts })
})
