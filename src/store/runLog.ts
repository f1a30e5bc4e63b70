import type * as Effect from "effect/Effect"
import type * as PlatformError from "effect/PlatformError"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/** Metrics of a step, under TRL's names. An unknown number is left out, never written as 0. */
export const Metrics = Schema.Record(Schema.String, Schema.Number)
export type Metrics = typeof Metrics.Type

/**
 * KL measured, as a ledger entry: KL(policy‖initial) on held prompts, nats per sequence. A cap and a measurement stand side
 * by side and are never added up.
 */
export const Measurement = Schema.Struct({
  stage: Schema.String,
  step: Schema.Natural,
  /** The other model: by its label where it is an initial model. */
  from: Schema.String,
  /** `initial`: the retained model of a cap; `reference`: that of the stage's penalty; `parent`: of a merge. Absent in old logs. */
  against: Schema.optionalKey(Schema.Literals(["initial", "reference", "parent"])),
  /** `rao-blackwell`: k1 with each token's log-ratio averaged over the vocabulary (`ledger/measure.ts`). Old logs have `k1`. */
  estimator: Schema.Literals(["k1", "rao-blackwell", "exact"]),
  direction: Schema.Literals(["reverse"]),
  temperature: Schema.Number,
  mean: Schema.Number,
  standardError: Schema.Number,
  /** Mean over all tokens, nats per token. */
  perToken: Schema.Number,
  /** Absent in old logs. */
  perTokenError: Schema.optionalKey(Schema.Number),
  samples: Schema.Natural,
  /** Samples that the description asks for; absent in old logs. */
  asked: Schema.optionalKey(Schema.Natural),
  /** Prompts asked; this and the two below are absent in logs written before they were measured. */
  prompts: Schema.optionalKey(Schema.Natural),
  /** Over prompts, of the mean of each prompt's samples, nats per sequence; null when a prompt had too few (`ledger/measure.ts`). */
  p95: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  max: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  /** Nats per sequence; null where no cap is held against it, as for the parents of a merge. */
  cap: Schema.NullOr(Schema.Number),
  /** The least cap of each statistic that it was told to be within, nats per sequence: by it other caps are judged. Null: none was. */
  least: Schema.optionalKey(Schema.Struct({
    mean: Schema.NullOr(Schema.Number),
    p95: Schema.NullOr(Schema.Number),
    max: Schema.NullOr(Schema.Number)
  })),
  /** Of the test of the cap; absent without a cap and in old logs. */
  verdict: Schema.optionalKey(Schema.Literals(["within", "over", "undecided"]))
})
export type Measurement = typeof Measurement.Type

/** A KL cap was passed, and the stage does not end with an error. */
export const OverBudget = Schema.TaggedStruct("OverBudget", {
  stage: Schema.String,
  step: Schema.Natural,
  from: Schema.String,
  statistic: Schema.Literals(["mean", "p95", "max"]),
  /** Nats per sequence. */
  spent: Schema.Number,
  cap: Schema.Number,
  /** Whether the samples do not tell on which side of the cap it is. */
  undecided: Schema.optionalKey(Schema.Literal(true)),
  /** `null`: the stage goes on; else the step that it went back to. */
  kept: Schema.NullOr(Schema.Struct({ step: Schema.Natural }))
})

/** The events of a run, in order. */
export const Event = Schema.Union([
  Schema.TaggedStruct("Cached", { stage: Schema.String }),
  /** Another process makes it. */
  Schema.TaggedStruct("Waiting", { stage: Schema.String, pid: Schema.Natural, host: Schema.String }),
  /** The process that made it stands still: this one makes it. */
  Schema.TaggedStruct("Replaced", { stage: Schema.String, pid: Schema.Natural, host: Schema.String }),
  /** Rows were read from files. */
  Schema.TaggedStruct("Read", {
    /** The path, list or pattern of the files. */
    name: Schema.String,
    files: Schema.Natural,
    /** Rows by the layout in which they were found. */
    layouts: Schema.Array(Schema.Tuple([Schema.String, Schema.Natural])),
    /** Bad rows that were left out. */
    skipped: Schema.NullOr(Schema.Struct({ rows: Schema.Natural, first: Schema.String }))
  }),
  Schema.TaggedStruct("Started", { stage: Schema.String, steps: Schema.Natural, from: Schema.Natural }),
  Schema.TaggedStruct("Step", {
    stage: Schema.String,
    step: Schema.Natural,
    steps: Schema.Natural,
    /** Tokens trained on and generated in this step. */
    tokens: Schema.Natural,
    metrics: Metrics
  }),
  Schema.TaggedStruct("Measured", { measurement: Measurement }),
  /** KL of the stage is observed, and there are no held prompts to measure it on. */
  Schema.TaggedStruct("Unmeasured", { stage: Schema.String }),
  OverBudget,
  /**
   * Observations of a policy on held prompts besides its KL: `entropy` (nats per token), `length` (tokens), `finished`, `distinct_1`,
   * `distinct_2`, and, where known, `proxy` and `gold` (each with its standard error `_se`). In an environment also the stage's own
   * `reward`, `turns` and tool `calls` of an episode.
   */
  Schema.TaggedStruct("Observed", {
    stage: Schema.String,
    step: Schema.Natural,
    samples: Schema.Natural,
    observed: Metrics
  }),
  /**
   * What a judge said of itself in a stage: `judge/questions`, `unreadable` and `left_out` (counts), `agreement` when it was asked again or
   * in both orders (a share), and of pairs `ties`, `contradictions` (counts) and `position_bias`, the probability above 0.5 that it
   * prefers the answer that is shown first.
   */
  Schema.TaggedStruct("Judged", { stage: Schema.String, judge: Schema.String, judged: Metrics }),
  /** Gold reward has fallen from its best: the stage ends, and makes the policy of step `kept`. */
  Schema.TaggedStruct("PeakPassed", {
    stage: Schema.String,
    step: Schema.Natural,
    decline: Schema.Struct({ mean: Schema.Number, standardError: Schema.Number }),
    kept: Schema.Natural
  }),
  Schema.TaggedStruct("Sampled", {
    stage: Schema.String,
    step: Schema.Natural,
    prompt: Schema.String,
    completion: Schema.String,
    score: Schema.Number
  }),
  /** Rows of a stage that were longer than `most` tokens, and so were cut, or left out. Without `most` they were left out for another reason. */
  Schema.TaggedStruct("Fitted", {
    stage: Schema.String,
    rows: Schema.Natural,
    truncated: Schema.Natural,
    dropped: Schema.Natural,
    most: Schema.optionalKey(Schema.Natural),
    /** Tokens of the longest row. */
    longest: Schema.optionalKey(Schema.Natural)
  }),
  Schema.TaggedStruct("Checkpoint", { stage: Schema.String, step: Schema.Natural, path: Schema.String }),
  Schema.TaggedStruct("Finished", { stage: Schema.String, tokens: Schema.Natural }),
  Schema.TaggedStruct("Failed", { stage: Schema.String, error: Schema.String, message: Schema.String })
])
export type Event = typeof Event.Type

/** Where events go: a JSONL file and the terminal in `run`, an array in tests. Events never change a computation. */
export class RunLog extends Context.Service<RunLog, {
  /** Fails when the event cannot be written down, e.g. on a full disk. */
  readonly emit: (event: Event) => Effect.Effect<void, PlatformError.PlatformError>
}>()("keel/RunLog") {}
