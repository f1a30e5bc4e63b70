/**
 * The frame of every stage that trains a policy: opens it at its last checkpoint, holds it within its KL caps and trains it
 * (`descent.ts`); a stage that moves it by an allowance (`dsl/MovesPolicy.ts`) also observes it. A stage adds models and makes the steps.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { For } from "../data/encode.ts"
import type { Keep } from "../../dsl/Keep.ts"
import type { Environment } from "../../dsl/Environment.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Codec, Computing, Model, Policy, Scorer, Weights } from "../engine/engine.ts"
import { plain } from "../rewards/composed.ts"
import type { UnusableData } from "../../dsl/Errors.ts"
import type { Judge, Unjudged } from "../rewards/judge.ts"
import type { OpenReward } from "../rewards/rewarding.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import { type Answering, answeringOf, encoded } from "./answering.ts"
import { descend, type Stepped, type StepsOf, type Training } from "./descent.ts"
import { heldAtEnd } from "./heldAtEnd.ts"
import { keeper, keptModel, proxyOn, type Validate } from "./keeping.ts"
import { goesOn, heldBy, klCaps, type Measured } from "./klCaps.ts"
import { type Opened, openModels } from "./loop.ts"
import { type Openers, openers } from "./precision.ts"
import type { Scope } from "./scope.ts"
import type { Scoring } from "./scoring.ts"

/** The fields of a description with `training`, and with `keep` where it has that. */
export interface Trains extends Training, Required<Pick<Computing, "recompute">> {
  readonly keep?: Keep
}

/** The fields of a description with `klSpending` and `training`; `maxNewTokens` stands beside held prompts of its own. */
export interface Moving extends Trains, Omit<Measured, "maxNewTokens"> {
  readonly maxNewTokens?: number
  readonly environment?: Environment
}

export interface TrainedBy<M> {
  readonly init: Weights
  /** Models that are saved with the policy. */
  readonly beside?: (open: Openers) => Opened<M>
}

export interface MovedBy<M> extends TrainedBy<M> {
  /** Prompts for the measurement of KL; without them `scope.limits.measured` may have some. */
  readonly held: ReadonlyArray<PromptRow> | undefined
}

/** The open policy, with the models beside it and the means to open more. */
export interface At<M> {
  readonly policy: Policy
  readonly models: M
  readonly codec: Codec
  /** For `encodePrompts`, `encodePairs`, … */
  readonly use: For
  /** How the policy is asked. */
  readonly answering: Answering
  /** Opens a model in the precision of the stage. */
  readonly open: Openers
  /** The `state` of the last checkpoint; null at the start. */
  readonly state: Schema.Json
}

export interface MovedStep<E = never, R = never> extends Stepped<E, R> {
  /** A completion to show, and its score, when KL is measured. */
  readonly sampled?: () => Omit<Extract<Event, { readonly _tag: "Sampled" }>, "_tag" | "stage" | "step">
}

export interface Moves<E, R> extends StepsOf<MovedStep<E, R>, E, R> {
  /** The model of a KL penalty: weights that stay, or a policy that moves. */
  readonly reference?: Weights | Policy | undefined
  /** Models that are open already, by their weights. */
  readonly opened?: ReadonlyArray<readonly [weights: Weights, policy: Policy]>
  /** The reward of the stage, which is observed too. */
  readonly proxy?: Scorer | OpenReward | null
  /** How its answers are scored: in an environment, the score is observed too. */
  readonly scoring?: Scoring
  /** A number of the policy at this moment, where the stage chooses its best weights by one that is not `proxy` on held prompts. */
  readonly validate?: Validate<E, R>
  /** Further state for a checkpoint. */
  readonly state?: () => Readonly<Record<string, Schema.Json>>
  /** Runs after each step and its measurement of KL. */
  readonly after?: (step: number) => void
}

const framed = Effect.fnUntraced(function*<E1, R1, E2, R2, M extends Record<string, Model> = {}>(
  stage: Trains & Pick<Moving, "environment">,
  { beside, init }: TrainedBy<M>,
  scope: Scope,
  begin: (at: At<M>) => Effect.Effect<Moves<E2, R2>, E1, R1>,
  by: {
    readonly measured: Measured
    readonly held: ReadonlyArray<PromptRow>
    readonly observed: boolean
  } | null
) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const opens = openers(engine, stage)
  const { models, ...session } = yield* openModels<M & { readonly policy: Policy }>(scope, {
    policy: { open: opens.policy, initial: init },
    ...keptModel(stage.keep, opens.policy, init),
    ...beside?.(opens)
  } as never, by === null ? undefined : (state, at) => goesOn(scope.limits.kl, by.measured, state, at))
  const { policy } = models
  const codec = engine.codec(init)
  const use = { stage: scope.label, codec, context: policy.context }
  const { environment } = stage
  const answering = yield* answeringOf(use, environment)
  const held = by === null ? [] : yield* encoded(use, answering, by.held)
  const { after, opened = [], proxy = null, reference, scoring, state, validate, ...steps } = yield* begin({
    policy,
    models,
    codec,
    use,
    answering,
    open: opens,
    state: session.state
  })
  const caps = by === null ? null : yield* klCaps(scope, session, {
    policy,
    open: opens.policy,
    opened,
    reference,
    init,
    held: heldBy(answering, policy, by.held, held),
    observing: by.observed
      ? {
        rows: by.held,
        ids: held,
        decode: codec.decode,
        proxy,
        scoring: environment === undefined ? null : scoring ?? null
      }
      : null,
    stop: codec.stop,
    measured: by.measured,
    steps: steps.steps
  })
  const { keep } = stage
  const reward = proxy !== null && "values" in proxy ? plain({ scorer: proxy, codec }) : proxy
  const kept = yield* keeper<E2 | UnusableData | Unjudged, R2 | Judge>(scope, keep, {
    trained: policy,
    kept: (models as { readonly kept?: Policy }).kept,
    steps: steps.steps,
    taking: steps.taking,
    state: session.state,
    validate: reward === null || by === null ? validate : validate ?? proxyOn(scope, policy, {
      answering,
      codec,
      rows: by.held,
      ids: held,
      proxy: reward,
      maxNewTokens: by.measured.maxNewTokens
    })
  })
  const states = caps === null && state === undefined && keep?._tag !== "Best"
    ? {}
    : { state: () => ({ ...caps?.state(), ...state?.(), ...kept.state() }) }
  yield* descend(scope, { ...session, models }, stage, policy, {
    ...steps,
    ...states,
    after: Effect.fnUntraced(function*(step, { sampled }) {
      if (caps?.due(step) === true) {
        yield* caps.measure(step)
        if (sampled !== undefined) yield* log.emit({ _tag: "Sampled", stage: scope.label, step, ...sampled() })
      }
      after?.(step)
      yield* kept.after(step)
    })
  })
  return kept.weights()
}, Effect.scoped)

/** Holds the weights that come out against the caps, which have seen the trained policy: those of `keep` may be others. */
const keptWithin =
  (stage: Trains, scope: Scope, by: { readonly measured: Measured; readonly held: ReadonlyArray<PromptRow> } | null) =>
  (weights: Weights) =>
    stage.keep === undefined || by === null
      ? Effect.void
      : heldAtEnd(scope, weights, { ...by, kept: "the last policy within the caps" })

/** How KL is measured in a stage by its own held prompts, or as `scope` says; null where there are none. */
export const measuredBy = <S extends Omit<Moving, keyof Trains>>(
  { maxNewTokens, observe, ...own }: S,
  held: ReadonlyArray<PromptRow> | undefined,
  { limits: { measured } }: Scope
): { readonly measured: Measured; readonly held: ReadonlyArray<PromptRow> } | null => {
  const by = held === undefined ? measured : { ...own, maxNewTokens: maxNewTokens!, held }
  return by === undefined ? null : { measured: { ...by, ...(observe === undefined ? {} : { observe }) }, held: by.held }
}

/** Trains a policy that an allowance moves, and observes it. */
export const movePolicy = Effect.fn("movePolicy")(
  <E1, R1, E2, R2, M extends Record<string, Model> = {}>(
    stage: Moving,
    { held, ...trained }: MovedBy<M>,
    scope: Scope,
    begin: (at: At<M>) => Effect.Effect<Moves<E2, R2>, E1, R1>
  ) => {
    const by = measuredBy(stage, held, scope)
    const made = framed(stage, trained, scope, begin, by && { ...by, observed: true })
    return Effect.tap(made, keptWithin(stage, scope, by))
  }
)

/** Trains a policy in a stage without held prompts: under a KL cap, `scope.limits.measured` has some. */
export const trainPolicy = Effect.fn("trainPolicy")(
  <E1, R1, E2, R2, M extends Record<string, Model> = {}>(
    stage: Trains,
    trained: TrainedBy<M>,
    scope: Scope,
    begin: (at: At<M>) => Effect.Effect<Moves<E2, R2>, E1, R1>
  ) => {
    const { kl, measured } = scope.limits
    const by = kl.length === 0 || measured === undefined ? null : { measured, held: measured.held, observed: false }
    return Effect.tap(framed(stage, trained, scope, begin, by), keptWithin(stage, scope, by))
  }
)
