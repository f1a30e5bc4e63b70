import { ask, limit } from "../asked/ask.ts"
import { sameAnswer, type Symbolic } from "./equal.ts"
import { answerIn, referenceIn } from "./extract.ts"

/** Verdicts on the last pairs of formulas: a pair gets the same verdict twice, also if its time was short. */
const verdicts = new Map<string, boolean>()
const most = 4096

/** Asks until `end`, in milliseconds of `performance.now()`; formulas that are not compared by then are not equal. */
const until = (end: number): Symbolic => (first, second, options) => {
  const pair = JSON.stringify([first, second, options])
  const known = verdicts.get(pair)
  if (known !== undefined) return known
  const left = Math.ceil(end - performance.now())
  if (left <= 0) return false
  const verdict = ask({ kind: "equal", first, second, ...options }, left) === true
  if (verdicts.size >= most) verdicts.delete(verdicts.keys().next().value!)
  verdicts.set(pair, verdict)
  return verdict
}

/** Whether two answers are the same. */
export const sameMeaning = (a: string, b: string): boolean => sameAnswer(a, b, until(performance.now() + limit))

/** Whether the final answer of the completion is the reference answer. */
export const isSolved = (completion: string, answer: string, guess: boolean): boolean => {
  const said = answerIn(completion, guess)
  return said !== undefined && sameAnswer(said, referenceIn(answer), until(performance.now() + limit))
}
