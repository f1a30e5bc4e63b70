/** Caps on resources, compared with the spending meter. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type Resource, resources } from "../../dsl/Budget.ts"
import { BudgetExceeded } from "../../dsl/Errors.ts"
import { amountOf, type Price, type Spent } from "../store/spent.ts"
import type { StoreError } from "../store/store.ts"
import { CurrentMeter } from "./spendingMeter.ts"
import type { Scope } from "./scope.ts"

/** Price of an hour of the computing device; null where no price is given, and money is then not counted. */
export const CurrentPrice = Context.Reference<Price | null>("keel/Price", { defaultValue: () => null })

/** Whether a cap ends a run. A plan goes on and reports by how much a cap is passed. */
export const CapsHold = Context.Reference<boolean>("keel/CapsHold", { defaultValue: () => true })

interface Over {
  readonly resource: Resource
  readonly used: number
  readonly cap: number
  /** Number of artefacts that share the cap. */
  readonly stages: number
}

/** Every cap with what is used of it: the stage's own caps come first, then the totals that include the stage. */
const used = (
  { totals = [], ...own }: Omit<Scope["limits"], "kl">,
  spent: Spent,
  price: Price | null
): ReadonlyArray<Over> => {
  const held = [
    { limits: own, all: [spent] },
    ...totals.map(({ limits, others }) => ({ limits, all: [...others(), spent] }))
  ]
  return held.flatMap(({ all, limits }) =>
    resources.flatMap((resource) => {
      const cap = limits[resource] ?? Infinity
      return cap === Infinity ? [] : [{ resource, used: amountOf(resource, all, price), cap, stages: all.length }]
    })
  )
}

/** The first cap that was passed. */
export const exceeded = (limits: Omit<Scope["limits"], "kl">, spent: Spent, price: Price | null): Over | undefined => {
  const over = used(limits, spent, price).find(({ cap, used }) => used > cap)
  return over === undefined ? undefined : { ...over, used: Math.ceil(over.used) }
}

/** Fails when `spent` is more than the caps allow. `keep` saves the result so far and says where it is. */
export const hold = Effect.fnUntraced(function*<E>(
  { label, limits }: { readonly label: string; readonly limits: Omit<Scope["limits"], "kl"> },
  spent: Spent,
  keep: Effect.Effect<string, E>
) {
  if (!(yield* CapsHold)) return
  const price = yield* CurrentPrice
  const over = exceeded(limits, spent, price)
  if (over === undefined) return
  const { cap, resource, stages, used } = over
  return yield* new BudgetExceeded({
    stage: label,
    dimension: resource,
    spent: used,
    cap,
    stages,
    ...(resource === "money" && price !== null ? { currency: price.currency } : {}),
    kept: yield* keep
  })
})

/** Fails when the current stage has spent more than its caps allow. */
export const withinCaps = Effect.fnUntraced(function*(
  scope: Pick<Scope, "label" | "limits">,
  keep: Effect.Effect<string, StoreError>
) {
  yield* hold(scope, yield* (yield* CurrentMeter).spent, keep)
})

/**
 * How many prompts the current stage can surely still answer within its caps, at most `tokens` generated for each; `Infinity` where no cap
 * tells.
 */
export const roomFor = Effect.fnUntraced(function*({ limits }: Pick<Scope, "limits">, tokens: number) {
  if (!(yield* CapsHold)) return Infinity
  const most: Partial<Record<Resource, number>> = { tokens, generated: tokens, prompts: 1 }
  const left = used(limits, yield* (yield* CurrentMeter).spent, null).flatMap(({ cap, resource, used }) => {
    const each = most[resource]
    return each === undefined ? [] : [Math.floor((cap - used) / each)]
  })
  return Math.min(Infinity, ...left)
})
