import * as Schema from "effect/Schema"

/** A mean with its standard error over `n` independent units (prompts). */
export const Estimate = Schema.Struct({ mean: Schema.Number, standardError: Schema.Number, n: Schema.Natural })
export type Estimate = typeof Estimate.Type

/** A model in an evaluation. */
export const ModelReport = Schema.Struct({
  name: Schema.String,
  /** Null where none was named. */
  gold: Schema.NullOr(Estimate),
  /** The mean verdict of each verifier: of all or nothing, the share of completions that passed. */
  verdicts: Schema.optionalKey(Schema.Record(Schema.String, Estimate)),
  /** Proxy reward, when a reward model was given. */
  proxy: Schema.NullOr(Estimate),
  /** KL(model‖initial), nats per sequence, k1; null when sampling was not at temperature 1. */
  kl: Schema.NullOr(Estimate),
  /** A bound on that KL where it is known and not measured, as for best-of-n. */
  klBound: Schema.optionalKey(Schema.Number),
  /** How often a judge prefers it to the reference of the evaluation, which is `against`; a tie is half a win. */
  winRate: Schema.optionalKey(Schema.Struct({ against: Schema.String, ...Estimate.fields })),
  /** Tokens of a completion, the end included. */
  length: Estimate,
  /** Share of completions that ended by themselves. */
  finished: Schema.Number,
  /** The first completion of each shown prompt. */
  completions: Schema.Array(Schema.String)
})
export type ModelReport = typeof ModelReport.Type

/** The result of `Evaluate`. */
export const Report = Schema.Struct({
  models: Schema.Array(ModelReport),
  /** Share of held-out pairs that the reward model orders as the labeler did. */
  rewardAccuracy: Schema.NullOr(Estimate),
  prompts: Schema.Array(Schema.String),
  /** Paired difference of gold reward, last model minus each earlier model, on the same prompts. */
  goldGain: Schema.Array(Schema.Struct({ from: Schema.String, to: Schema.String, difference: Estimate }))
})
export type Report = typeof Report.Type

/** A report in a file: JSON has no NaN, which is the standard error of a single number. */
export const ReportJson = Schema.toCodecJson(Report)

/** Mean and standard error of independent numbers; the error of fewer than two is not a number. */
export const estimate = (numbers: ArrayLike<number>): Estimate => {
  const n = numbers.length
  let mean = 0
  for (let i = 0; i < n; i++) mean += numbers[i]! / n
  let squares = 0
  for (let i = 0; i < n; i++) squares += (numbers[i]! - mean) ** 2
  return { mean, standardError: Math.sqrt(squares / (n - 1) / n), n }
}
