/** Judges of a plan: they judge made-up texts for free, so that no stage is left without rows. */
import * as Effect from "effect/Effect"
import { toolsOf } from "../rewards/environment.ts"
import { atOnce, type Judge } from "../rewards/judge.ts"
import { inWords } from "../rewards/question.ts"
import { asPolicy, feesOf, type Opening, tokensOf } from "../training/asking.ts"

/** A number in [0, 1) for a made-up text, by its first letters: texts that differ have different numbers, but for rare chance. */
const lot = (text: string): number => {
  let mixed = 0
  for (let i = 0; i < Math.min(text.length, 64); i++) mixed = Math.imul(31 * mixed + text.charCodeAt(i), 0x9e3779b1)
  return (mixed >>> 0) / 2 ** 32
}
/** True for half of all texts. */
const even = (text: string): boolean => lot(text) < 0.5
/** Judges for free: approves of half of the completions, and scores each otherwise, so that no group of them is dropped. */
export const judging = (shortest: boolean): Judge["Service"] => {
  let asked = 0
  return {
    gold: (_, __, completion) => lot(completion),
    prefers: (_, __, ___, ____, u) => u < 0.5,
    // With the shortest completions, a single group with different rewards suffices.
    verifies: atOnce(({ completion }) => shortest ? asked++ === 0 : even(completion)),
    // Every episode has all its turns. What an environment says is known in a run only.
    environment: (environment) => ({
      tools: toolsOf(environment),
      step: (_, situations) =>
        Effect.succeed(situations.map(({ turns }) => ({
          replies: [{ role: "user", content: "0" }],
          reward: even(turns.at(-1)!.text) ? 1 : 0
        })))
    })
  }
}

/** An endpoint that is counted and not asked, with its longest answers; a policy that judges is counted as any model. */
export const asking = (judges: { questions: number; asked: number; fees: number }): Opening => (scope, judging) => {
  if (!("endpoint" in judging)) return "policy" in judging ? asPolicy(scope, judging) : Effect.die(judging.people)
  const { endpoint } = judging
  return Effect.succeed((asked) =>
    Effect.sync(() =>
      asked.map(({ question }) => {
        const read = tokensOf(inWords(question))
        judges.questions++
        judges.asked += read + endpoint.maxTokens
        judges.fees += feesOf(endpoint, read, endpoint.maxTokens)
        const { completions: [a, b], verdicts } = question
        // No pair is left out for a contradiction.
        return verdicts[b === undefined ? even(a!) ? 0 : verdicts.length - 1 : a! < b ? 0 : 1]!.value
      })
    )
  )
}
