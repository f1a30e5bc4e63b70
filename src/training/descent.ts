/**
 * Training by gradients: the frame around the step of every stage that trains a model. It measures rounding in bf16, ends the stage at a
 * number that is not finite, updates the model, and reports the metrics that all such stages have.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { CurrentEngine } from "../engine/current.ts"
import type { Batch, Model, Policy, Precision, Scorer, Update } from "../engine/engine.ts"
import type { Loss } from "../losses/loss.ts"
import type { Metrics } from "../store/runLog.ts"
import { finite, type NotFinite, type Session, train, updateOf, type Updating } from "./loop.ts"
import { roundingGap } from "./precision.ts"
import type { Taking } from "./batches.ts"
import type { Scope } from "./scope.ts"

/** A loss of the batch that was retained last; `gradient` is null when `learn` has already accumulated it. */
export type Learnt = Omit<Loss, "gradient"> & { readonly gradient: Loss["gradient"] | null }

export interface Stepped<E = never, R = never> {
  /**
   * Rows of a forward pass in this step, before its first update, with their log-probabilities (of a policy) or values
   * (of a scorer); null where the pass gave none. Rounding is measured on them.
   */
  readonly passed: { readonly rows: Batch; readonly numbers: Float64Array | null }
  /** The loss of the only update of this step; or the stage's own updates, which return the metrics of the step. */
  readonly learn: Learnt | ((update: Update) => Effect.Effect<Metrics, E | NotFinite, R>)
  /** Metrics beside the loss's own. */
  readonly metrics?: Metrics
  /** Tokens generated and trained on. */
  readonly tokens: number
}

/** The fields of a description with `training` (`dsl/Training.ts`). */
export interface Training extends Updating {
  readonly precision: Precision
  readonly checkpointEvery: number
}

export interface StepsOf<S, E, R> {
  readonly steps: number
  readonly step: (n: number) => Effect.Effect<S, E | NotFinite, R>
  /** The rows of each step, where its work depends on them alone. */
  readonly taking?: Taking
  /** Steps at which another kind of step begins. */
  readonly turns?: ReadonlyArray<number>
}

/** Makes the steps. `after` runs after the updates of each step. */
export const descend = Effect.fnUntraced(function*<S extends Stepped<E, R>, E, R, E2 = never, R2 = never>(
  scope: Scope,
  session: Session<Record<string, Model>>,
  stage: Training,
  model: Policy | Scorer,
  { after, state, step, steps, taking, turns = [] }: StepsOf<S, E, R> & {
    readonly after?: (step: number, made: S) => Effect.Effect<void, E2 | NotFinite, R2>
    readonly state?: () => Schema.Json
  }
) {
  const engine = yield* CurrentEngine
  const { precision } = stage
  yield* train(scope, session, {
    steps,
    checkpointEvery: stage.checkpointEvery,
    turns,
    ...(taking === undefined ? {} : { taking }),
    ...(state === undefined ? {} : { state }),
    step: Effect.fnUntraced(function*(n, learns) {
      const made = yield* step(n)
      const { learn, passed: { numbers, rows }, tokens } = made
      const rounding = roundingGap({ engine, precision, n, steps }, model, rows, numbers)
      const update = updateOf(stage, n, steps)
      let metrics: Metrics
      learns()
      if (typeof learn === "function") {
        yield* finite(rounding)
        metrics = yield* learn(update)
      } else {
        const { gradient, loss } = learn
        yield* finite({ loss, ...rounding })
        if (gradient !== null) model.backward(gradient)
        const norm = model.step(update)
        yield* finite({ grad_norm: norm })
        metrics = { loss, ...learn.metrics, ...made.metrics, grad_norm: norm, lr: update.learningRate }
      }
      if (after !== undefined) yield* after(n + 1, made)
      return { tokens, metrics: { ...metrics, ...rounding } }
    })
  })
})
