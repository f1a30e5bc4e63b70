/** Rewards by comparison: the share of the others that a judge finds a completion better than, asked in both orders. */
import * as Effect from "effect/Effect"
import type { ByPairs } from "../../dsl/stages/Reward.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Judge } from "./asking.ts"
import { type Orders, ordersBy, preferenceOf, referenced } from "./judged.ts"

type Row = PromptRow & { readonly completion: string }

/** `other`: its place among the rows, or null for the answer of row `one`. */
interface Pair {
  readonly one: number
  readonly other: number | null
}

/** Every two completions of a prompt. */
const pairsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<Pair> => {
  const groups = new Map<string, Array<number>>()
  rows.forEach(({ prompt }, i) => groups.set(prompt, [...groups.get(prompt) ?? [], i]))
  return [...groups.values()].flatMap((group) =>
    group.flatMap((one, i) => group.slice(i + 1).map((other): Pair => ({ one, other })))
  )
}

/** A tie, a contradiction, a verdict that cannot be read and equal texts, of which no judge is asked, are half a win. */
export const winsBy = Effect.fnUntraced(function*(judge: Judge, how: ByPairs, rows: ReadonlyArray<Row>) {
  const byAnswer = how.against === "answer"
  yield* referenced(judge.stage, { reference: byAnswer }, rows)
  const pairs = byAnswer ? rows.map((_, one): Pair => ({ one, other: null })) : pairsOf(rows)
  const texts = pairs.map(({ one, other }) => ({
    row: rows[one]!,
    a: rows[one]!.completion,
    b: other === null ? rows[one]!.answer! : rows[other]!.completion
  }))
  const different = texts.flatMap(({ a, b }, i) => a === b ? [] : [i])
  const orders: ReadonlyArray<Orders> = yield* ordersBy(judge, how, different.map((i) => texts[i]!))
  const preferred = new Map(different.map((i, n) => [i, preferenceOf(orders[n]!) ?? 0.5]))
  const [wins, of] = [rows.map(() => 0), rows.map(() => 0)]
  for (const [i, { one, other }] of pairs.entries()) {
    const better = preferred.get(i) ?? 0.5
    wins[one]! += better
    of[one]!++
    if (other === null) continue
    wins[other]! += 1 - better
    of[other]!++
  }
  const shares = wins.map((sum, i) => of[i] === 0 ? 0.5 : sum / of[i]!)
  return { shares, orders, alone: of.filter((n) => n === 0).length }
})
