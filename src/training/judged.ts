/** Scores and preferences of a judge, with its numbers about itself: in both orders, asked several times, not readable. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { JudgeFailed, UnusableData } from "../../dsl/Errors.ts"
import type { Pairwise, Rubric } from "../../dsl/Judge.ts"
import type { PromptRow } from "../data/rows.ts"
import { comparing, scoring } from "../rewards/question.ts"
import { type Metrics, RunLog } from "../store/runLog.ts"
import type { Judge } from "./asking.ts"
import { CurrentRehearsal } from "./rehearsal.ts"

/** The values of each criterion, one for each time that it was asked; null for an answer that cannot be read. */
export const Scores = Schema.Array(Schema.Array(Schema.NullOr(Schema.Number)))
export type Scores = typeof Scores.Type

/** Whether the first answer of a pair is better, asked in this order and in the other; 1, 0, between them, or null. */
export const Orders = Schema.Struct({ first: Schema.NullOr(Schema.Number), second: Schema.NullOr(Schema.Number) })
export type Orders = typeof Orders.Type

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, x) => sum + x, 0) / values.length

const readable = (value: number | null): value is number => value !== null

/** Fails where the judge is to see an answer that a row does not have. */
export const referenced = Effect.fnUntraced(function*(
  stage: string,
  { reference }: { readonly reference: boolean },
  rows: ReadonlyArray<PromptRow>
) {
  const without = reference ? rows.findIndex(({ answer }) => answer === undefined) : -1
  if (without < 0) return
  return yield* new UnusableData({
    stage,
    problem: `row ${without + 1} of its prompts has no answer, and its judge is to see one`,
    remedy: "Give the prompts the field `answer`, or do without it."
  })
})

/** Fails when a judge answered many questions and none can be read: no other question would be worth its price. */
const any = ({ name, stage }: Judge, values: ReadonlyArray<number | null>) =>
  values.length < 8 || values.some(readable) ? Effect.void : new JudgeFailed({
    stage,
    judge: name,
    problem: `none of ${values.length} answers has a verdict that can be read`,
    remedy: "Take a larger model, or raise maxTokens where answers are cut off before their verdict. " +
      "These answers are kept in the folder `answers` of the store: without it the same questions are asked again."
  })

/** Tells the numbers of the judge about itself in the whole stage; a rehearsal has asked only a part. */
export const tellJudged = Effect.fnUntraced(function*({ name, stage }: Judge, judged: () => Metrics) {
  if ((yield* CurrentRehearsal) !== null) return
  yield* (yield* RunLog).emit({ _tag: "Judged", stage, judge: name, judged: judged() })
})

/** Each completion by each criterion. */
export const scoresBy = Effect.fnUntraced(function*(
  judge: Judge,
  rubric: Rubric,
  rows: ReadonlyArray<PromptRow & { readonly completion: string }>
) {
  yield* referenced(judge.stage, rubric, rows)
  const { criteria, times } = rubric
  const values = yield* judge.ask(
    rows.flatMap((row) =>
      scoring(rubric, row, row.completion).flatMap((question) =>
        Array.from({ length: times }, (_, time) => ({
          question,
          ...(times === 1 ? {} : { seed: time })
        }))
      )
    )
  )
  yield* any(judge, values)
  return rows.map((_, i): Scores =>
    criteria.map((_, criterion) => values.slice((i * criteria.length + criterion) * times).slice(0, times))
  )
})

/** The weighted mean over criteria; null where a criterion has no answer that can be read. */
export const scoreOf = ({ criteria }: Rubric, scores: Scores): number | null => {
  const means = scores.map((values) => values.filter(readable)).map((values) =>
    values.length === 0 ? null : mean(values)
  )
  if (!means.every(readable)) return null
  const total = criteria.reduce((sum, { weight }) => sum + weight, 0)
  return criteria.reduce((sum, { weight }, i) => sum + weight * means[i]!, 0) / total
}

/** The judge about itself: answers that cannot be read, completions without a score, and its agreement when asked again. */
export const ofScores = (rubric: Rubric, all: ReadonlyArray<Scores>): Metrics => {
  const values = all.flat(2)
  const again = all.flat().flatMap((values) =>
    values.flatMap((a, i) => values.slice(i + 1).flatMap((b) => a === null || b === null ? [] : [Math.abs(a - b)]))
  )
  const scores = all.map((scores) => scoreOf(rubric, scores))
  const known = scores.filter(readable)
  return {
    "judge/questions": values.length,
    "judge/unreadable": values.filter((value) => value === null).length,
    "judge/left_out": scores.length - known.length,
    ...(known.length === 0 ? {} : { "judge/score": mean(known) }),
    ...(again.length === 0 ? {} : {
      "judge/agreement": again.filter((difference) => difference === 0).length / again.length,
      "judge/difference": mean(again)
    }),
    ...Object.fromEntries(rubric.criteria.flatMap(({ name }, i) => {
      const own = all.flatMap((scores) => scores[i]!).filter(readable)
      return own.length === 0 ? [] : [[`judge/score/${name}`, mean(own)]]
    }))
  }
}

/** Each pair in both orders. */
export const ordersBy = Effect.fnUntraced(function*(
  judge: Judge,
  how: Pick<Pairwise, "asks" | "reference">,
  pairs: ReadonlyArray<{ readonly row: PromptRow; readonly a: string; readonly b: string }>
) {
  yield* referenced(judge.stage, how, pairs.map(({ row }) => row))
  const values = yield* judge.ask(pairs.flatMap(({ a, b, row }) => [
    { question: comparing(how, row, a, b) },
    { question: comparing(how, row, b, a) }
  ]))
  yield* any(judge, values)
  return pairs.map((_, i): Orders => ({ first: values[2 * i]!, second: values[2 * i + 1]! }))
})

/** The probability that the first answer is better, without the preference for a place; null where an order has no answer. */
export const preferenceOf = ({ first, second }: Orders): number | null =>
  first === null || second === null ? null : (first + 1 - second) / 2

/** The judge about itself: its preference for the answer that is shown first, and its agreement in both orders. */
export const ofOrders = (all: ReadonlyArray<Orders>): Metrics => {
  const pairs = all.flatMap(({ first, second }) => first === null || second === null ? [] : [[first, second] as const])
  const side = (x: number): number => Math.sign(x - 0.5)
  const contradicts = pairs.filter(([first, second]) => side(first) * side(second) > 0).length
  return {
    "judge/questions": 2 * all.length,
    "judge/unreadable": all.flatMap(({ first, second }) => [first, second]).filter((value) => value === null).length,
    "judge/ties": pairs.filter(([first, second]) => side(first) === 0 && side(second) === 0).length,
    "judge/contradictions": contradicts,
    "judge/left_out": all.filter((orders) => (preferenceOf(orders) ?? 0.5) === 0.5).length,
    ...(pairs.length === 0 ? {} : {
      "judge/agreement": pairs.filter(([first, second]) => side(first) === -side(second)).length / pairs.length,
      "judge/position_bias": mean(pairs.map(([first, second]) => (first + second) / 2)) - 0.5
    })
  }
}
