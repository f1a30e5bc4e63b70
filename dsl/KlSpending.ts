/** The fields that every stage shares which moves a policy away from where it started: its allowance, and how KL is measured. */
import * as Schema from "effect/Schema"
import { type Kl, KlAmount } from "./Kl.ts"
import type { Gold } from "./Gold.ts"
import { Observe, type Observing } from "./Observe.ts"
import { Count, Fraction, or } from "./Training.ts"

const Samples = Schema.Int.check(Schema.isGreaterThan(1, { message: "an error bar needs at least 2 samples" }))
const Share = Fraction.check(Schema.isGreaterThan(0, { message: "no number of samples has no error" }))

/** How precisely KL is measured. */
export const measuring = {
  /**
   * Completions sampled for one measurement, 64 or more, and as many of each prompt where they suffice; as many again, and again, while
   * they do not tell on which side of a cap the policy is.
   */
  measureSamples: or(Samples, 256),
  /** The standard error of the mean that is small enough, as a share of the cap. */
  measureError: or(Share, 0.1),
  /**
   * No more completions than these for one measurement (`measureSamples`, where that is more). A policy that they do not tell from the
   * cap counts as beyond it.
   */
  measureMost: or(Count, 2048)
}

/** How a cap measures stages without held prompts of their own: the fields of `klSpending`, with its defaults. */
export const measuredBy = {
  maxNewTokens: Schema.optionalKey(Count),
  measureEvery: Schema.optionalKey(Count),
  measureSamples: Schema.optionalKey(Samples),
  measureError: Schema.optionalKey(Share),
  measureMost: Schema.optionalKey(Count)
}

/** The same with the defaults. */
export const Measuring = Schema.Struct({ maxNewTokens: Count, measureEvery: or(Count, 5), ...measuring })
export type Measuring = typeof Measuring.Type

export const klSpending = {
  /** The KL that this stage may spend: an allocation from the pipeline's KL cap. */
  allowance: KlAmount,
  /** Longest completion, tokens, when it samples and when KL is measured (TRL `response_length`, `max_completion_length`). */
  maxNewTokens: Count,
  /** Steps between measurements of KL from the initial model on held prompts. */
  measureEvery: or(Count, 5),
  ...measuring,
  /** Further observations at measurements of KL, and when they end the stage. */
  observe: Schema.optionalKey(Observe)
}

/** The parameters `P` with an allowance whose size the compiler knows, and a gold reward `G` that is observed. */
export type Allotting<P, N extends number, G extends Gold = Gold> = Omit<P, "allowance" | "observe"> & {
  /** How far this stage may move the policy, milli-nats per sequence: an allocation out of the pipeline's KL cap. */
  readonly allowance: Kl<"sequence", N>
  /** Further observations at measurements of KL, and when they end the stage. */
  readonly observe?: Observing<G>
}

/** Mistakes in these fields. */
export const mistakes = (
  { allowance: { direction, per } }: { readonly allowance: typeof KlAmount.Type }
): ReadonlyArray<string> => [
  ...(per === "sequence" ? [] : ["allowance must be per sequence: convert it with Kl.overTokens(allowance, length)"]),
  ...(direction === "forward"
    ? ["allowance is of the forward KL, and the reverse KL is measured: allot that"]
    : [])
]
