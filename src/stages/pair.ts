import * as Effect from "effect/Effect"
import type { Pair } from "../../dsl/stages/Pair.ts"
import { pair as paired, rated } from "../data/pair.ts"
import { groupedByPrompt, type RankingRow, type ScoredRow } from "../data/rows.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

/** Pairs completions of each prompt; see `dsl/stages/Pair.ts`. */
export const pair = Effect.fn("pair")(function*(
  stage: Pair,
  wires: {
    readonly completions: ReadonlyArray<ScoredRow> | undefined
    readonly rankings: ReadonlyArray<RankingRow> | undefined
  },
  scope: Scope
) {
  const rows = wires.completions ?? rated(wires.rankings!)
  const pairs = paired(rows, stage, scope.stream)
  const count = () => groupedByPrompt(rows).length
  const { minMargin } = stage
  return yield* dataStage(scope, pairs, () => ({
    problem: `no prompt of ${count()} has two completions with ${
      minMargin === undefined ? "different scores" : `scores that differ by ${minMargin} or more`
    }`,
    remedy: minMargin === undefined
      ? "Sample more completions per prompt, at a higher temperature, or score them more finely."
      : "Lower minMargin, or sample more completions per prompt."
  }), () => {
    const prompts = count()
    return {
      "prompts_with_a_pair": new Set(pairs.map(({ prompt }) => prompt)).size / prompts,
      ...(stage.rejected === "every-lower" ? { "pairs_per_prompt": pairs.length / prompts } : {})
    }
  })
})
