/** The fields that every gradient-trained stage shares: AdamW, its schedule, checkpoints and seed. TRL's names. */
import { Effect, Schema } from "effect"

export const Positive = Schema.Finite.check(Schema.isGreaterThan(0, { message: "must be above 0" }))
export const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0, { message: "must be 0 or more" }))
export const Fraction = Schema.Finite.check(
  Schema.isBetween({ minimum: 0, maximum: 1 }, { message: "must be between 0 and 1" })
)
export const Count = Schema.Int.check(Schema.isGreaterThan(0, { message: "must be a whole number above 0" }))

/** A field with a default. */
export const or = <S extends Schema.Codec<any, any> & Schema.WithoutConstructorDefault>(
  schema: S,
  value: S["~type.make.in"]
) => schema.pipe(Schema.withConstructorDefault(Effect.succeed(value)))

export const Seed = or(Schema.Natural, 0)

export const training = {
  /** Peak learning rate of AdamW (Loshchilov and Hutter 2019). */
  learningRate: Positive,
  /** After `warmupSteps` of linear warm-up: `constant`, `linear` to 0, or `cosine` to 10 % (InstructGPT, App. C). */
  schedule: or(Schema.Literals(["constant", "linear", "cosine"]), "constant"),
  warmupSteps: or(Schema.Natural, 0),
  adamBeta1: or(Fraction, 0.9),
  adamBeta2: or(Fraction, 0.95),
  adamEpsilon: or(Positive, 1e-8),
  /** Decoupled weight decay. */
  weightDecay: or(NonNegative, 0),
  /** Gradients with a larger L2 norm are scaled down to it. */
  maxGradNorm: or(Positive, 1),
  /** Optimiser steps between checkpoints: what a crash may lose. */
  checkpointEvery: or(Count, 50),
  seed: Seed
}
