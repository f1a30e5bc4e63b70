/** Counts everything that a stage can spend: the engine's verbs, the judge's reading, the store's writing. */
import * as Effect from "effect/Effect"
import { CurrentEngine } from "../engine/current.ts"
import { Judge } from "../rewards/judge.ts"
import { Store } from "../store/store.ts"
import { CurrentMeter, type SpendingMeter, spendingMeter } from "../training/spendingMeter.ts"

/** A store that reports the kept bytes of the current stage to the meter. */
const weighed = (store: Store["Service"], meter: SpendingMeter): Store["Service"] => {
  const weigh = (key: string, name: string) => Effect.map(store.size(key, name), meter.keeps)
  return {
    ...store,
    save: (key, name, snapshot) => Effect.tap(store.save(key, name, snapshot), weigh(key, name)),
    append: (key, name, chunk) => Effect.tap(store.append(key, name, chunk), weigh(key, name)),
    keep: (key, name, as, weights) => Effect.tap(store.keep(key, name, as, weights), weigh(key, name))
  }
}

/** A judge whose reading is counted. */
const heard = (judge: Judge["Service"], { judged }: SpendingMeter): Judge["Service"] => ({
  ...judge,
  gold: (gold, prompt, completion) => {
    judged(prompt, completion)
    return judge.gold(gold, prompt, completion)
  },
  prefers: (gold, prompt, a, b, u) => {
    judged(prompt, a, b)
    return judge.prefers(gold, prompt, a, b, u)
  }
})

/** Gives `effect` the meter that counts its work. */
export const counted = Effect.fnUntraced(function*<A, E, R>(effect: (meter: SpendingMeter) => Effect.Effect<A, E, R>) {
  const meter = spendingMeter(yield* CurrentEngine)
  return yield* effect(meter).pipe(
    Effect.provideService(CurrentEngine, meter.engine),
    Effect.provideService(CurrentMeter, meter),
    Effect.provideService(Judge, heard(yield* Judge, meter)),
    Effect.provideService(Store, weighed(yield* Store, meter))
  )
})
