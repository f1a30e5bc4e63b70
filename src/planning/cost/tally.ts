import * as Effect from "effect/Effect"
import type { HostWork, Watch } from "./hostWork.ts"
import { type RateTable, secondsOf } from "./rates.ts"

export interface HostTally extends Watch {
  /** Adds a finished stage; the first stage of an operation also costs its start. */
  readonly stage: (op: string) => void
  /** Estimated seconds of the host work so far. */
  readonly seconds: () => number
}

/** Adds up the estimated cost of host work while it is done. */
export const hostTally = (rates: RateTable): HostTally => {
  let seconds = 0
  const seen = new Set<string>()
  const charge = (what: HostWork, amount: number): void => {
    seconds += secondsOf(rates[what], 1, amount, 0) + secondsOf(rates[`stage.${what}`], 0, amount, 0)
  }
  return {
    stage: (op) => {
      seconds += secondsOf(rates["stage"], 1, 0, 0)
      if (!seen.has(op)) seconds += secondsOf(rates["start"], 1, 0, 0)
      seen.add(op)
    },
    seconds: () => seconds,
    during: (what, work, amount) => {
      const value = work()
      charge(what, amount(value))
      return value
    },
    effect: (what, work, amount) => Effect.tap(work, (value) => Effect.sync(() => charge(what, amount(value))))
  }
}
