/**
 * Observations on held prompts while a policy trains, on the samples that measure its KL (also at β = 0). Entropy,
 * length, endings, distinct n-grams and the proxy are always observed, and a gold reward if you name one. Observers
 * never change the training: a gold reward gives no gradient, but it may end the stage.
 */
import * as Schema from "effect/Schema"
import { Gold } from "./Gold.ts"
import { Count, or, Positive } from "./Training.ts"

/**
 * Ends the stage when gold reward has fallen; its result is the policy with the highest measured gold reward. Each
 * measurement compares the samples with the best so far, prompt by prompt; gold has fallen if the mean decline is `z`
 * standard errors or more, at `patience` measurements in a row. The best is partly luck: of runs with level gold for 30
 * measurements 2 % are stopped (45 % at z 2), of slowly rising runs less than 1 %
 * (`property-tests/ledger/peak.test.ts`).
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
