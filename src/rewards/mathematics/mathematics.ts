import { ask, limit } from "../asked/ask.ts"
import { sameAnswer } from "./equal.ts"
import { answerIn, referenceIn } from "./extract.ts"

/** Whether the final answer of the completion is the reference answer. A pair of formulas that takes too long is not equal. */
export const isSolved = (completion: string, answer: string, guess: boolean): boolean => {
  const said = answerIn(completion, guess)
  if (said === undefined) return false
  const end = performance.now() + limit
  return sameAnswer(said, referenceIn(answer), (first, second, options) => {
    const left = Math.ceil(end - performance.now())
    return left > 0 && ask({ kind: "equal", first, second, ...options }, left) === true
  })
}
