import * as Effect from "effect/Effect"
import type { Difficulty } from "../../dsl/stages/Difficulty.ts"
import { groupedByPrompt, promptIn, type ScoredRow } from "../data/rows.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

/** The prompts whose solve rate is within bounds; see `dsl/stages/Difficulty.ts`. */
export const difficulty = Effect.fn("difficulty")(function*(
  { atLeast, atMost, solved }: Difficulty,
  wires: { readonly completions: ReadonlyArray<ScoredRow> },
  scope: Scope
) {
  const prompts = groupedByPrompt(wires.completions).map((group) => ({
    row: group[0]!,
    rate: group.filter(({ score }) => score >= solved).length / group.length
  }))
  const [easier, harder] = [
    prompts.filter(({ rate }) => rate > atMost).length,
    prompts.filter(({ rate }) => rate < atLeast).length
  ]
  const kept = prompts.filter(({ rate }) => rate >= atLeast && rate <= atMost)
  return yield* dataStage(
    scope,
    kept.map(({ row }) => promptIn(row)),
    () => ({
      problem:
        `of ${prompts.length} prompts ${harder} are solved less often than ${atLeast}, and ${easier} more often than ${atMost}`,
      remedy: "Widen the bounds, sample more completions, or bring easier or harder prompts."
    }),
    () => ({
      "rows/in": prompts.length,
      "rows/out": kept.length,
      "rows/easier": easier,
      "rows/harder": harder,
      "solve_rate": prompts.reduce((sum, { rate }) => sum + rate, 0) / Math.max(1, prompts.length)
    }),
    { dropped: prompts.length - kept.length, rows: prompts.length }
  )
})
