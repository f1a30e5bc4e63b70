import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Verifier } from "../../dsl/Verifier.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Judge } from "./judge.ts"
import { unanswered, type Unreachable } from "./verifier.ts"

/** Fails when a verifier cannot answer here, or can give a row nothing, whatever the completion: said before the first completion is held against it. */
export const answered = Effect.fnUntraced(function*(
  stage: string,
  { ready, unreachable = unanswered }: Pick<Judge["Service"], "ready" | "unreachable">,
  verifiers: ReadonlyArray<Verifier>,
  rows: ReadonlyArray<PromptRow & { readonly row?: number }>
) {
  for (const verifier of verifiers) {
    if (ready !== undefined) yield* ready(stage, verifier, rows)
    let first: Unreachable & { readonly row: number } | undefined
    let others = 0
    for (const [i, row] of rows.entries()) {
      const found = unreachable(verifier, row)
      if (found === null) continue
      if (first === undefined) first = { row: row.row ?? i + 1, ...found }
      else others++
    }
    if (first === undefined) continue
    const more = others === 0 ? "" : ` (as ${others} more of ${rows.length})`
    return yield* new UnusableData({
      stage,
      problem: `row ${first.row} of its prompts ${first.problem}${more}`,
      remedy: first.remedy
    })
  }
})
