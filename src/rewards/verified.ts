import * as Effect from "effect/Effect"
import { namesOf, type Verifier } from "../../dsl/Verifier.ts"
import type { Judge } from "./judge.ts"
import type { Question } from "./verifier.ts"

/** The sum of the verdicts on each completion, times their weights; and the verdicts of each verifier by its name. */
export const verified = (
  stage: string,
  { verifies }: Pick<Judge["Service"], "verifies">,
  verifiers: ReadonlyArray<Verifier>,
  questions: ReadonlyArray<Question>
) =>
  Effect.map(
    // A server or a process may keep it waiting: a stop gets through, and nothing has been learnt yet in this step.
    Effect.interruptible(Effect.forEach(verifiers, (verifier) => verifies(stage, verifier, questions))),
    (verdicts) => {
      const scores = new Float64Array(questions.length)
      verdicts.forEach((of, i) => of.forEach((verdict, row) => (scores[row]! += verifiers[i]!.weight * verdict)))
      const names = namesOf(verifiers)
      return { scores, verdicts: Object.fromEntries(names.map((name, i) => [name, verdicts[i]!])) }
    }
  )
