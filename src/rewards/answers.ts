import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import { needsAnswer, type Verifier } from "../../dsl/Verifier.ts"
import type { PromptRow } from "../data/rows.ts"

/** Fails when a verifier compares with an answer and a row has none: said before the first completion is held against it. */
export const answered = Effect.fnUntraced(function*(
  stage: string,
  verifiers: ReadonlyArray<Verifier>,
  rows: ReadonlyArray<PromptRow>
) {
  const needing = verifiers.find(needsAnswer)
  const without = rows.findIndex(({ answer }) => answer === undefined)
  if (needing === undefined || without < 0) return
  return yield* new UnusableData({
    stage,
    problem: `row ${without + 1} of its prompts has no answer, and ${needing._tag} compares with one`,
    remedy: 'Say which field it is in, as in Source.file("…", { fields: { answer: "final" } }).'
  })
})
