/** The fields that every gradient-trained stage shares: AdamW, its schedule, checkpoints and seed. TRL's names. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Lora } from "./Lora.ts"

export const Positive = Schema.Finite.check(Schema.isGreaterThan(0, { message: "must be above 0" }))
export const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0, { message: "must be 0 or more" }))
export const Fraction = Schema.Finite.check(
  Schema.isBetween({ minimum: 0, maximum: 1 }, { message: "must be between 0 and 1" })
)
export const Count = Schema.Int.check(Schema.isGreaterThan(0, { message: "must be a whole number above 0" }))

/** Of AdamW's averages: 1 would divide by 0. */
const Decay = Schema.Finite.check(
  Schema.makeFilter((beta: number) => beta >= 0 && beta < 1 || "must be 0 or more and below 1")
)

/** A field with a default. */
export const or = <S extends Schema.Codec<any, any> & Schema.WithoutConstructorDefault>(
  schema: S,
  value: S["~type.make.in"]
) => schema.pipe(Schema.withConstructorDefault(Effect.succeed(value)))

export const Seed = or(Schema.Natural, 0)

/** AdamW and its schedule. */
export const optimiser = {
  /** Peak learning rate of AdamW (Loshchilov and Hutter 2019). */
  learningRate: Positive,
  /** After the warm-up: `constant`, `linear` to 0, or `cosine` to 10 % (InstructGPT, App. C). */
  schedule: or(Schema.Literals(["constant", "linear", "cosine"]), "constant"),
  /** Steps of linear warm-up: step n of W has (n + 1)/W of the rate. */
  warmupSteps: or(Schema.Natural, 0),
  /** The warm-up as a share of the steps, rounded up, in place of `warmupSteps` (transformers `warmup_ratio`). */
  warmupRatio: Schema.optionalKey(Fraction),
  /**
   * f, the share of the rate at the first step: step n of a warm-up of W has f + (1 − f) n/W (PyTorch `LinearLR`, `start_factor`).
   * 0 is transformers' warm-up.
   */
  warmupFrom: Schema.optionalKey(Fraction),
  /** The end of `linear` or `cosine`, as a share of `learningRate` (transformers `min_lr_rate`). */
  minLearningRateRatio: Schema.optionalKey(Fraction),
  /** The same as a rate (transformers `min_lr`). */
  minLearningRate: Schema.optionalKey(NonNegative),
  adamBeta1: or(Decay, 0.9),
  adamBeta2: or(Decay, 0.95),
  adamEpsilon: or(Positive, 1e-8),
  /** Decoupled weight decay, of matrices: norms and biases do not decay, as in transformers. */
  weightDecay: or(NonNegative, 0),
  /** Gradients with a larger L2 norm are scaled down to it. */
  maxGradNorm: or(Positive, 1)
}

export const Precision = Schema.Literals(["f32", "bf16"])

/** As `precision` of a stage that trains, of the models that a stage only reads; `f32` when left out. */
export const precision = Schema.optionalKey(Precision)

export const training = {
  ...optimiser,
  /** Optimiser steps between checkpoints: the most that a crash may lose. */
  checkpointEvery: or(Count, 50),
  /**
   * The precision of factors in matrix products, in every model of the stage: `f32` (no rounding), or `bf16`, which
   * some CPUs multiply faster. Weights, gradients, optimiser state and sums stay f32. The effect on log-probabilities
   * is in the metrics of the first and the last step: `bf16/logp_gap_mean` and `bf16/logp_gap_max`, |log π_bf16 − log
   * π_f32| in nats a token (of a reward model `bf16/value_gap_…`).
   */
  precision: or(Precision, "f32"),
  /**
   * Keep only each layer's input for the backward pass and compute the layer again there (Chen et al. 2016): less memory for
   * one more forward pass. The same gradients, bit for bit.
   */
  recompute: or(Schema.Boolean, false),
  /** Train adapters of low rank instead of the weights themselves; all weights are trained when left out. */
  lora: Schema.optionalKey(Lora),
  seed: Seed
}

/** The length of a stage that passes over its rows. */
export const passes = {
  /** Passes over the rows. */
  epochs: or(Count, 1),
  /** Optimiser steps, in place of `epochs` (transformers `max_steps`). */
  steps: Schema.optionalKey(Count)
}

/** AdamW moves each weight by about the learning rate in a step. */
const most = 10

/** One sentence for a learning rate that no training survives. */
export const rateMistakes = (name: string, rate: number | undefined): ReadonlyArray<string> =>
  rate === undefined || rate <= most ? [] : [
    `${name} ${rate} is above ${most}, and AdamW moves every weight by about as much in a step: was ${
      (1 / rate).toExponential().replace(/\.\d+/u, "")
    } meant?`
  ]

/** Mistakes in the schedule of `optimiser`; `steps` is set if the stage has a number of steps. */
export const scheduleMistakes = (
  { learningRate, minLearningRate, minLearningRateRatio, schedule, steps, warmupFrom, warmupRatio, warmupSteps }:
    & Schema.Struct.Type<typeof optimiser>
    & { readonly steps?: number }
): ReadonlyArray<string> =>
  [
    steps !== undefined && warmupSteps > steps && `warmupSteps ${warmupSteps} is more than steps ${steps}`,
    warmupRatio !== undefined && warmupSteps > 0 &&
    `warmupSteps ${warmupSteps} and warmupRatio ${warmupRatio} both give the warm-up: leave one of them out`,
    warmupFrom !== undefined && warmupSteps === 0 && (warmupRatio ?? 0) === 0 &&
    `warmupFrom ${warmupFrom} has no warm-up: give warmupSteps or warmupRatio`,
    minLearningRate !== undefined && minLearningRateRatio !== undefined &&
    "minLearningRate and minLearningRateRatio both give the end of the schedule: leave one of them out",
    schedule === "constant" && (minLearningRate ?? minLearningRateRatio) !== undefined &&
    "the schedule constant never falls to a lower rate: take linear or cosine, or leave the lower rate out",
    minLearningRate !== undefined && minLearningRate > learningRate &&
    `minLearningRate ${minLearningRate} is above learningRate ${learningRate}: lower it`
  ].filter((mistake) => mistake !== false)

/** Mistakes in the fields of `training`. */
export const mistakes = (
  stage: Parameters<typeof scheduleMistakes>[0] & { readonly epochs?: number }
): ReadonlyArray<string> => [
  ...rateMistakes("learningRate", stage.learningRate),
  ...scheduleMistakes(stage),
  ...(stage.steps === undefined || (stage.epochs ?? 1) === 1 ? [] : [
    `epochs ${stage.epochs} and steps ${stage.steps} both say how long it trains: leave one of them out`
  ])
]
