/**
 * What is looked at on held prompts while a policy trains, on the samples that its KL is measured on, so also at β = 0. Entropy, length,
 * endings, distinct n-grams and the proxy are always seen; a gold reward where one is named. An observer never changes what is trained: a
 * gold reward is no signal to learn from, but it may say when to stop.
 */
import * as Schema from "effect/Schema"
import { Gold } from "./Gold.ts"
import { Count, or, Positive } from "./Training.ts"

/**
 * Ends the stage when gold reward has fallen, and makes the policy with the highest gold reward seen. At each measurement the samples are
 * compared with those of the best one so far, prompt by prompt; it has fallen when the mean decline is `z` standard errors or more, at
 * `patience` measurements in a row. The best one so far is partly so by luck: of runs whose gold stays level for 30 measurements 2 % are stopped (45 %
 * at z 2), of runs that still rise a little less than 1 % (`property-tests/ledger/peak.test.ts`).
 */
export const StopAtPeak = Schema.Struct({
  patience: or(Count, 2),
  z: or(Positive, 3)
})

export const Observe = Schema.Struct({
  gold: Gold,
  stopAtPeak: Schema.optionalKey(StopAtPeak)
})
export type Observe = typeof Observe.Type

/** What is observed, with a gold reward of which the compiler knows whether it is the user's own. */
export type Observing<G extends Gold> = Omit<typeof Observe["~type.make.in"], "gold"> & { readonly gold: G }
