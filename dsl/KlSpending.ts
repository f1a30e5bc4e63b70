/** The fields that every stage shares which moves a policy away from where it started: its allowance, and how KL is measured. */
import * as Schema from "effect/Schema"
import { type Kl, KlAmount } from "./Kl.ts"
import type { Gold } from "./Gold.ts"
import { Observe, type Observing } from "./Observe.ts"
import { Count, Fraction, or } from "./Training.ts"
import { type Connected, data, optional } from "./Wires.ts"

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
  /** The KL that this stage may spend: an allocation from the pipeline's KL cap. Left out, it allots nothing, and only caps end it. */
  allowance: Schema.optionalKey(KlAmount),
  /** Longest completion, tokens, when it samples and when KL is measured (TRL `response_length`, `max_completion_length`). */
  maxNewTokens: Count,
  /** Steps between measurements of KL from the initial model on held prompts. */
  measureEvery: or(Count, 5),
  ...measuring,
  /** Further observations at measurements of KL, and when they end the stage. */
  observe: Schema.optionalKey(Observe)
}

/** The same of a stage that samples only when KL is measured: the longest completion stands beside `held`. */
export const klMeasured = { ...klSpending, maxNewTokens: Schema.optionalKey(Count) }

/** The wire of the prompts to measure KL on. Left out, they are those of the nearest observation or cap (`Pipeline.observe`). */
export const held = optional(data("Prompts", "held-out instructions to measure KL on, e.g. Source.prompts(…)"))

/** How long a completion may be when KL is measured, where prompts for it are among the wires `W`. */
export type BesideHeld<W> = string extends keyof W ? unknown
  : "held" extends keyof W ? { readonly maxNewTokens: number }
  : unknown

/** The parameters `P` with an allowance whose size the compiler knows, and a gold reward `G` that is observed. */
export type Allotting<P, N extends number, G extends Gold = Gold> = Omit<P, "allowance" | "observe"> & {
  /** How far this stage may move the policy, milli-nats per sequence: an allocation out of the pipeline's KL cap. */
  readonly allowance?: Kl<"sequence", N>
  /** Further observations at measurements of KL, and when they end the stage. */
  readonly observe?: Observing<G>
}

/** The defaults of a measurement. */
const defaults = Schema.Struct({ measureEvery: klSpending.measureEvery, ...measuring }).make({})

/** Mistakes in the measurement of a stage of a policy, beside its held prompts or without. */
export const measuringMistakes = (
  params: Readonly<Partial<Record<keyof typeof measuredBy, number>>>,
  held: unknown
): ReadonlyArray<string | false> =>
  held !== undefined
    ? [
      params.maxNewTokens === undefined &&
      "maxNewTokens is missing: KL is measured on completions of held of at most so many tokens"
    ]
    : Object.entries(defaults).map(([name, value]) =>
      (params[name as keyof typeof defaults] ?? value) !== value &&
      `${name} is of the measurement on held prompts: connect held, or say it in Pipeline.observe`
    )

/** Mistakes in these fields. */
export const mistakes = (
  { allowance, observe, ...params }: Readonly<Partial<Record<keyof typeof measuredBy, number>>> & {
    readonly allowance?: typeof KlAmount.Type
    readonly observe?: Observe
  },
  { held }: Connected
): ReadonlyArray<string | false> => [
  allowance !== undefined && allowance.per !== "sequence" &&
  "allowance must be per sequence: convert it with Kl.overTokens(allowance, length)",
  allowance?.direction === "forward" && "allowance is of the forward KL, and the reverse KL is measured: allot that",
  held === undefined && observe?.stopAtPeak !== undefined &&
  "stopAtPeak ends the stage by what is measured on held prompts, which are then part of its result: connect held",
  ...measuringMistakes(params, held)
]
