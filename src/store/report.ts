import * as Schema from "effect/Schema"

/** A mean with its standard error over `n` independent units (prompts). */
export const Estimate = Schema.Struct({ mean: Schema.Number, standardError: Schema.Number, n: Schema.Natural })
export type Estimate = typeof Estimate.Type

const within = { low: Schema.NullOr(Schema.Number), high: Schema.NullOr(Schema.Number) }

/** A number with its interval of 95 % over prompts; null where a single prompt tells none. */
const Bounded = Schema.Struct({ value: Schema.Number, ...within, by: Schema.Literals(["Wilson", "Student's t"]) })

/** See `evaluation/scores.ts`. */
const Scores = Schema.Struct({
  mean: Bounded,
  pass: Schema.Array(Schema.Struct({ k: Schema.Natural, ...Bounded.fields })),
  majority: Schema.optionalKey(Bounded)
})

const Ratio = Schema.Struct({ value: Schema.Number, ...within })

/** Log-likelihood of held-out text, with Student's t intervals of 95 % over documents. */
export const TextReport = Schema.Struct({
  documents: Schema.Natural,
  tokens: Schema.Natural,
  /** Of the text in UTF-8. */
  bytes: Schema.Natural,
  natsPerToken: Ratio,
  natsPerByte: Ratio
})
export type TextReport = typeof TextReport.Type

/** Two models on the same prompts or documents: `to` minus `from`, with a bootstrap interval of 95 %. */
const Paired = Schema.Struct({
  from: Schema.String,
  to: Schema.String,
  /** A verifier, or nats per byte of the text, where less is better. */
  of: Schema.String,
  value: Schema.Number,
  ...within,
  n: Schema.Natural,
  resamples: Schema.Natural,
  /** Null unless each prompt passed or not. */
  mcNemar: Schema.NullOr(Schema.Struct({ gained: Schema.Natural, lost: Schema.Natural, p: Schema.Number }))
})
export type Paired = typeof Paired.Type

/** The answers of a model to a prompt. */
export const Sample = Schema.Struct({
  model: Schema.String,
  /** The number of the prompt, from 0. */
  prompt: Schema.Natural,
  text: Schema.String,
  answer: Schema.optionalKey(Schema.String),
  completions: Schema.Array(Schema.String),
  tokens: Schema.Array(Schema.Natural),
  ended: Schema.Array(Schema.Boolean),
  verdicts: Schema.Record(Schema.String, Schema.Array(Schema.Number))
})
export type Sample = typeof Sample.Type

/** A model in an evaluation. */
export const ModelReport = Schema.Struct({
  name: Schema.String,
  /** Null where none was named. */
  gold: Schema.NullOr(Estimate),
  /** The mean verdict of each verifier: of all or nothing, the share of completions that passed. */
  verdicts: Schema.optionalKey(Schema.Record(Schema.String, Estimate)),
  /** The same with pass@k, majority votes and intervals. */
  scores: Schema.optionalKey(Schema.Record(Schema.String, Scores)),
  text: Schema.optionalKey(TextReport),
  /** Proxy reward, when a reward model was given. */
  proxy: Schema.NullOr(Estimate),
  /** KL(model‖initial), nats per sequence, k1; null when sampling was not at temperature 1. */
  kl: Schema.NullOr(Estimate),
  /** A bound on that KL where it is known and not measured, as for best-of-n. */
  klBound: Schema.optionalKey(Schema.Number),
  /** How often a judge prefers it to the reference of the evaluation, which is `against`; a tie is half a win. */
  winRate: Schema.optionalKey(
    Schema.Struct({
      against: Schema.String,
      ...Estimate.fields,
      /** The same where both answers are equally long (AlpacaEval 2), and the judge's taste for length: `evaluation/winRate.ts`. */
      lengthControlled: Schema.optionalKey(Schema.Struct({ ...Ratio.fields, lengthBias: Schema.Number }))
    })
  ),
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
  /** Completions of each prompt, where there are several. */
  completionsPerPrompt: Schema.optionalKey(Schema.Natural),
  paired: Schema.optionalKey(Schema.Array(Paired)),
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
