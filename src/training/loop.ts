/**
 * The one training loop: steps, checkpoints, budgets, events, interruption. A stage gives it a step.
 *
 * A checkpoint always stands between two steps. A short step is finished and saved on interruption; a long step is
 * abandoned, and the last checkpoint remains (`engine/interruptible.ts`). All randomness derives from the stage's stream
 * and the step's number, so training resumed from a checkpoint reaches the same weights bit for bit.
 */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Diverged } from "../../dsl/Errors.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Model, Update, Weights } from "../engine/engine.ts"
import { CurrentPatience } from "../engine/interruptible.ts"
import { learningRateAt, type Schedule } from "../optim/schedule.ts"
import { RunLog } from "../store/runLog.ts"
import type { Metrics } from "../store/runLog.ts"
import { fromJson, type Spent, toJson } from "../store/spent.ts"
import { type Snapshot, Store } from "../store/store.ts"
import { withinCaps } from "./budgets.ts"
import { CurrentMeter } from "./spendingMeter.ts"
import type { Trained } from "./precision.ts"
import type { Taking } from "./batches.ts"
import { viewed } from "../data/lazyArray.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

/** A number that must be finite is not; the loop turns this error into `Diverged`. */
export class NotFinite extends Data.TaggedError("NotFinite")<{ readonly quantity: string; readonly value: number }> {}

/** Lets timers and signals through: the engine's own work is synchronous. */
export const breathe = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Fails when any of the numbers is NaN or infinite. In a long step, a stop gets through here. */
export const finite = (numbers: Readonly<Record<string, number>>): Effect.Effect<void, NotFinite> => {
  const bad = Object.entries(numbers).find(([, value]) => !Number.isFinite(value))
  if (bad !== undefined) return Effect.fail(new NotFinite({ quantity: bad[0], value: bad[1] }))
  return Effect.flatMap(CurrentPatience, (patience) => patience.over() ? breathe : Effect.void)
}

/** The models of a stage at its last checkpoint, or at its start. */
export interface Session<M> {
  readonly models: M
  /** Steps already made. */
  readonly from: number
  /** The stage's `state` at that point; null at the start. */
  readonly state: Schema.Json
  /** Spending up to that point; null at the start. */
  readonly spent: Spent | null
}

const Saved = Schema.Struct({ spent: Schema.optionalKey(Schema.Json), stage: Schema.Json })

const isAdapter = (name: string): boolean => name.startsWith("lora.")

export interface Opening<M> {
  readonly open: (weights: Weights, trained?: Trained) => M
  readonly initial: Weights
  /** Changes and is saved, but no gradient trains it: a reference that follows the policy. It has no adapters. */
  readonly untrained?: true
}

/** How to open each model: its weights and the function that opens them. */
export type Opened<M> = { readonly [K in keyof M]: Opening<NonNullable<M[K]>> }

const snapshots = (models: Readonly<Record<string, Model>>): Snapshot["models"] =>
  Object.fromEntries(
    Object.entries(models).map(([name, model]) => [name, { weights: model.weights(), optimizer: model.optimizer() }])
  )

/**
 * Opens the models of a stage, from its last checkpoint when there is one; they are closed with the scope. A checkpoint
 * at step `at` from which the stage does not go on, by its `state`, makes way for one at the start, and this is said in a line.
 */
export const openModels = Effect.fnUntraced(function*<M extends Record<string, Model>>(
  scope: Scope,
  openers: Opened<M>,
  goesOn: (state: Schema.Json, at: number) => boolean = () => true
) {
  const store = yield* Store
  const last = Option.getOrUndefined(yield* store.latest(scope.key, scope.label))
  const before = last === undefined ? null : Schema.decodeUnknownSync(Saved)(last.state).stage
  const reached = last === undefined || goesOn(before, last.step)
  const saved = reached ? last : undefined
  if (!reached) {
    yield* Console.error(
      `${scope.label} begins again: its checkpoint at step ${last.step} was made under other caps or measurements of KL.`
    )
  }
  const models: Record<string, Model> = {}
  const { kind } = yield* CurrentEngine
  for (const [name, { initial, open, untrained }] of Object.entries(openers)) {
    const before = saved?.models[name]
    const lora = untrained === true ? undefined : scope.lora
    models[name] = yield* Effect.acquireRelease(
      Effect.sync(() => {
        // Adapters stand in the optimiser's state, on top of weights that never change.
        const model = lora === undefined
          ? open(before?.weights ?? initial)
          : open(initial, { lora: { ...lora, seed: `${scope.stream}/lora/${name}` } })
        if (lora !== undefined && kind === "transformer" && ![...model.optimizer().tensors.keys()].some(isAdapter)) {
          throw new Error(
            `${scope.label} opens ${name} without the adapters that it is asked for: pass on the arguments of open`
          )
        }
        if (before !== undefined) model.restore(before.optimizer)
        return model
      }),
      (model) => Effect.sync(() => model.dispose())
    )
  }
  if (!reached) {
    yield* store.save(scope.key, scope.label, { step: 0, models: snapshots(models), state: { stage: null } })
  }
  const state: typeof Saved.Type = saved === undefined ? { stage: null } : Schema.decodeUnknownSync(Saved)(saved.state)
  const session: Session<M> = {
    models: models as M,
    from: saved?.step ?? 0,
    state: state.stage,
    spent: Option.getOrNull(fromJson(state.spent))
  }
  return session
})

/** A model without gradient and checkpoint, used only for observation. */
export const observer = <M extends Model>(open: (weights: Weights) => M, weights: Weights) =>
  Effect.acquireRelease(Effect.sync(() => open(weights)), (model) => Effect.sync(() => model.dispose()))

export interface TrainingStep {
  readonly metrics: Metrics
  /** Tokens generated and trained on. */
  readonly tokens: number
}

/** On a stop, a step of fewer seconds is finished first. */
export const shortStep = 2

/** The rows of all steps. A rehearsal makes only some of them, and they are repeated until there are `count`. */
export const whole = <A>(rows: ReadonlyArray<A>, count: number): Effect.Effect<ReadonlyArray<A>> =>
  Effect.map(CurrentRehearsal, (rehearsal) =>
    rehearsal === null || rows.length === 0 || rows.length >= count
      ? rows
      : viewed(count, (i) => rows[i % rows.length]!))

/** Runs steps `session.from … steps`. */
export const train = Effect.fnUntraced(function*<E, R>(scope: Scope, session: Session<Record<string, Model>>, stage: {
  readonly steps: number
  readonly checkpointEvery: number
  /** It calls `learns` before it changes a model. */
  readonly step: (n: number, learns: () => void) => Effect.Effect<TrainingStep, E | NotFinite, R>
  /** Further state for a checkpoint. */
  readonly state?: () => Schema.Json
  /** Steps at which another kind of step begins: see `Rehearsal`. */
  readonly turns?: ReadonlyArray<number>
  /** The rows of each step, where its work depends on them alone: see `Rehearsal`. */
  readonly taking?: Taking
}) {
  const [log, store, patience] = [yield* RunLog, yield* Store, yield* CurrentPatience]
  const rehearsal = yield* CurrentRehearsal
  const { label } = scope
  const meter = yield* CurrentMeter
  let done = session.from
  // The duration of the first step is unknown.
  let took = Infinity
  /** What was spent up to the step in progress, and whether that has changed a model. */
  let midway: { readonly spent: Spent; readonly learnt: boolean } | null = null
  let kept = done > 0 ? `${label} at step ${done}` : `the model that ${label} started from`
  const save = Effect.gen(function*() {
    const models = snapshots(session.models)
    const state = { spent: toJson(midway?.spent ?? (yield* meter.spent)), stage: stage.state?.() ?? null }
    kept = yield* store.save(scope.key, label, { step: done, models, state })
    yield* log.emit({ _tag: "Checkpoint", stage: label, step: done, path: kept })
    return kept
  })
  const diverged = ({ quantity, value }: NotFinite) =>
    new Diverged({ stage: label, step: done, quantity, value: String(value), kept })

  yield* log.emit({ _tag: "Started", stage: label, steps: stage.steps, from: done })
  if (session.spent !== null) {
    yield* meter.resume(session.spent)
    yield* withinCaps(scope, Effect.succeed(kept))
  }
  if (rehearsal !== null) {
    // The values do not matter: a rehearsal computes none.
    const told = (n: number) =>
      Effect.tap(
        stage.step(n, () => {}),
        ({ metrics, tokens }) =>
          log.emit({ _tag: "Step", stage: label, step: n + 1, steps: stage.steps, tokens, metrics })
      )
    const trains = Object.keys(session.models).length > 0
    yield* rehearsal.steps(stage.steps, told, { turns: stage.turns, taking: stage.taking, trains }).pipe(
      Effect.catchTag("NotFinite", (error) => Effect.fail(diverged(error as NotFinite)))
    )
    const saves = Math.ceil(stage.steps / stage.checkpointEvery) - 1
    return saves > 0 ? yield* Effect.asVoid(rehearsal.times(saves, save)) : undefined
  }
  yield* Effect.gen(function*() {
    while (done < stage.steps) {
      yield* Effect.uninterruptible(Effect.gen(function*() {
        const began = yield* Clock.currentTimeMillis
        patience.wait(took < shortStep ? shortStep : 0)
        const spent = yield* meter.spent
        midway = { spent, learnt: false }
        const { metrics, tokens } = yield* stage.step(done, () => {
          midway = { spent, learnt: true }
        })
        yield* finite(metrics)
        done++
        midway = null
        took = ((yield* Clock.currentTimeMillis) - began) / 1000
        yield* log.emit({ _tag: "Step", stage: label, step: done, steps: stage.steps, tokens, metrics })
        yield* withinCaps(scope, save)
        if (done % stage.checkpointEvery === 0 && done < stage.steps) yield* save
      }))
      yield* breathe
    }
  }).pipe(
    Effect.ensuring(Effect.sync(() => patience.wait(0))),
    // A stop gets through where a step waits for others (judges, programs, environments). Before it has learnt, nothing of it is kept or
    // counted; after that, no checkpoint can be made, and the last one stands.
    Effect.onInterrupt(() => midway?.learnt === true ? Effect.void : Effect.orDie(save)),
    Effect.catchTag("NotFinite", (error) => Effect.fail(diverged(error as NotFinite)))
  )
  const { generated, trained } = yield* meter.spent
  yield* log.emit({ _tag: "Finished", stage: label, tokens: generated + trained })
})

/** The fields of `dsl/Training.ts` for updates. */
export interface Updating extends Schedule {
  readonly adamBeta1: number
  readonly adamBeta2: number
  readonly adamEpsilon: number
  readonly weightDecay: number
  readonly maxGradNorm: number
}

/** The AdamW update of step `n`. */
export const updateOf = (stage: Updating, n: number, steps: number): Update => ({
  learningRate: learningRateAt(stage, n, steps),
  betas: [stage.adamBeta1, stage.adamBeta2],
  eps: stage.adamEpsilon,
  weightDecay: stage.weightDecay,
  maxGradNorm: stage.maxGradNorm
})
