/** Which of two completions is better, by a labeler that sees the gold reward or by a judge: shared by `Compare` and `Judge`. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Gold } from "../../dsl/Gold.ts"
import type { Pairwise } from "../../dsl/Judge.ts"
import type { PreferenceRow, PromptRow } from "../data/rows.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { stream } from "../sampling/random.ts"
import { openJudge } from "./asking.ts"
import { ofOrders, Orders, ordersBy, preferenceOf, tellJudged } from "./judged.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

/** A pair as it is kept until the stage is finished. */
export const Compared = Schema.Struct({
  prompt: Schema.String,
  chosen: Schema.String,
  rejected: Schema.String,
  ended: Schema.Struct({ chosen: Schema.Boolean, rejected: Schema.Boolean }),
  /** Of a judge, for the answer that is chosen. */
  orders: Schema.optionalKey(Orders)
})
type Compared = typeof Compared.Type

interface Written {
  readonly text: string
  readonly ended: boolean
}

interface Comparison {
  readonly row: PromptRow
  readonly a: Written
  readonly b: Written
  /** Of the labeler. */
  readonly u: number
}

/** Every pair of different answers to a prompt: equal answers carry no preference. `key` is the prompt's. */
export const pairsOf = (
  row: PromptRow,
  answers: ReadonlyArray<Written>,
  key: string
): ReadonlyArray<Comparison> => {
  const random = stream(`${key}/labeler`)
  return answers.flatMap((a, i) =>
    answers.slice(i + 1).flatMap((b) => {
      const u = random.next()
      return a.text === b.text ? [] : [{ row, a, b, u }]
    })
  )
}

const labelled = ({ prompt }: PromptRow, chosen: Written, rejected: Written): Compared => ({
  prompt,
  chosen: chosen.text,
  rejected: rejected.text,
  ended: { chosen: chosen.ended, rejected: rejected.ended }
})

/** `people` of a simulation, by their name. `of` compares pairs; `kept` are those of all the stage's pairs whose verdict counts, after it was told how the judge judged. */
export const comparing = Effect.fnUntraced(function*(
  scope: Scope,
  { gold, judge: how }: { readonly gold?: Gold | undefined; readonly judge?: Pairwise | undefined },
  weights: Weights | undefined,
  people?: string
) {
  const labeler = yield* Judge
  if (how === undefined) {
    return {
      of: (pairs: ReadonlyArray<Comparison>) =>
        Effect.sync(() => ({
          rows: pairs.map(({ a, b, row, u }) =>
            labeler.prefers(gold!, row.prompt, a.text, b.text, u) ? labelled(row, a, b) : labelled(row, b, a)
          ),
          metrics: {}
        })),
      kept: (compared: ReadonlyArray<Compared>) => Effect.succeed<ReadonlyArray<PreferenceRow>>(compared)
    }
  }
  const judge = yield* openJudge(scope, how.endpoint, weights, people)
  const of = Effect.fnUntraced(function*(pairs: ReadonlyArray<Comparison>) {
    const orders = yield* ordersBy(judge, how, pairs.map(({ a, b, row }) => ({ row, a: a.text, b: b.text })))
    const rows = pairs.map(({ a, b, row }, i) => {
      const { first, second } = orders[i]!
      return (preferenceOf(orders[i]!) ?? 0.5) >= 0.5
        ? { ...labelled(row, a, b), orders: orders[i]! }
        : { ...labelled(row, b, a), orders: { first: second, second: first } }
    })
    return { rows, metrics: ofOrders(orders) }
  })
  const kept = Effect.fnUntraced(function*(compared: ReadonlyArray<Compared>) {
    yield* tellJudged(judge, () => ofOrders(compared.map(({ orders }) => orders!)))
    const all: ReadonlyArray<PreferenceRow> = compared
    return (yield* CurrentRehearsal) !== null ?
      all :
      compared.flatMap(({ orders, ...pair }) => (preferenceOf(orders!) ?? 0.5) > 0.5 ? [pair] : [])
  })
  return { of, kept }
})
