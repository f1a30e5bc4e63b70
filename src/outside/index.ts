/**
 * `keel/stage`: parts for your own stage, reward or loss; `examples/13-own-stage.ts` shows them in one file.
 *
 * 1. Describe: write a `Schema.TaggedClass` of parameters (`training`, `klSpending`, `or`, `Count` … are Keel's fields
 *    and checks), its wires (`Wires.model`, `Wires.data`), a `Definition`, and a `make`: `moves` for a stage that moves
 *    a policy by an allowance, and the type `Artifact.Output` for any other.
 * 2. Implement: write `implement(definition, (params, inputs, scope) => …)`. To move a policy, give `movePolicy` your
 *    own step, to train one without an allowance `trainPolicy`. In any other stage, open models with `openModels` and train
 *    them by `descend` or `train`; a policy among them is held to its KL caps at the end only. A step is plain code against an
 *    engine's verbs.
 * 3. Test it with the laws of `keel/testing`.
 *
 * A loss is a pure function from log-probabilities to `Loss`: its value, its exact gradient, its metrics.
 */

// ── describing ────────────────────────────────────────────────────────────────────────────────────────────────────────
export { build, type Definition } from "../../dsl/Definition.ts"
export { type Moved, type Mover, moves, policyFrom } from "../../dsl/MovesPolicy.ts"
export { type Allotting, klSpending } from "../../dsl/KlSpending.ts"
export { Count, Fraction, NonNegative, or, Positive, Seed, training } from "../../dsl/Training.ts"
export * as Wires from "../../dsl/Wires.ts"
export type { Add } from "../../dsl/Arithmetic.ts"
export type { Compute } from "../../dsl/Budget.ts"

// ── implementing ──────────────────────────────────────────────────────────────────────────────────────────────────────
export { type Failure, implement, type Implementation, type Inputs, type StageServices } from "./implementation.ts"
export {
  environment,
  type EnvironmentImplementation,
  type Episode,
  type Step,
  type Turn
} from "../rewards/environment.ts"
export type { Reply } from "../data/conversation.ts"
export type { Tool, ToolCall } from "../data/toolCalls.ts"
export {
  reward,
  type RewardImplementation,
  type Verified,
  type VerifiedRow,
  verifier,
  type VerifierImplementation
} from "../rewards/own.ts"
export {
  type CompletionBatch,
  type LossImplementation,
  type PairBatch,
  policyLoss,
  preferenceLoss
} from "../training/ownLosses.ts"
export type { Made } from "../store/made.ts"
export type { Scope } from "../training/scope.ts"

/** The services of a stage. */
export { CurrentEngine } from "../engine/current.ts"
/** A reward on a wire that takes a `Reward`: open it, then ask for the reward of completions. */
export type { Composed, KindOf } from "../rewards/composed.ts"
export { type OpenReward, proxyOf } from "../rewards/rewarding.ts"
export { openReward } from "../training/openReward.ts"
export { atOnce, Judge, type Unjudged } from "../rewards/judge.ts"
export type { Asked, Question, Unreachable } from "../rewards/verifier.ts"
export { type Event, type Metrics, RunLog } from "../store/runLog.ts"
export { Store, type StoreError } from "../store/store.ts"

/** Rows of text, and their tokens. */
export { encodeDemonstrations, encodePairs, encodePrompts, encodeTexts } from "../data/encode.ts"
export type { DemonstrationRow, PreferenceRow, PromptRow, TextRow } from "../data/rows.ts"

/** The verbs of an engine. */
export {
  type Batch,
  type Engine,
  offsetsOf,
  type Policy,
  type Row,
  type Scorer,
  type Weights
} from "../engine/engine.ts"

/** Training: the frames and their parts. Batches and randomness depend on (stream, step, sample) alone. */
export { type At, type MovedStep, movePolicy, trainPolicy } from "../training/movePolicy.ts"
export { descend, type Learnt, type Stepped } from "../training/descent.ts"
export { batchAt, stepsOf } from "../training/batches.ts"
export { klCaps } from "../training/klCaps.ts"
export type { EndedEarly } from "../training/endedEarly.ts"
export { finite, observer, openModels, train, type TrainingStep, updateOf } from "../training/loop.ts"
export { withinCaps } from "../training/budgets.ts"
export { openers, roundingGap } from "../training/precision.ts"
export { type Random, stream } from "../sampling/random.ts"

/** Losses. */
export { sigmoid, softplus } from "../losses/logistic.ts"
export { type Averaging, type Loss, poison, sameLength, scaleOf } from "../losses/loss.ts"
export { afterLast, afterLastBackward, beforeTokens, beforeTokensBackward, sumRows } from "../losses/ragged.ts"
