import { Effect } from "effect"
import type { RewardModeling } from "../../dsl/stages/RewardModeling.ts"
import { encodePairs } from "../data/encode.ts"
import type { PreferenceRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Scorer, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { bradleyTerry } from "../losses/bradleyTerry.ts"
import { afterLast, afterLastBackward } from "../losses/ragged.ts"
import { batchAt, stepsOf } from "../training/batches.ts"
import { finite, open, train, updateOf } from "../training/loop.ts"
import { openers, valueGap } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/** Trains a reward model on pairs; see `dsl/stages/RewardModeling.ts`. A batch is its chosen rows, then its rejected rows. */
export const rewardModeling = Effect.fn("rewardModeling")(function*(
  stage: RewardModeling,
  wires: { readonly init: Weights; readonly preferences: ReadonlyArray<PreferenceRow> },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const { models: { reward }, ...session } = yield* open<{ reward: Scorer }>(scope, {
    reward: { open: openers(engine, stage).scorer, initial: wires.init }
  })
  const pairs = yield* encodePairs(
    { stage: scope.label, codec: engine.codec(wires.init), context: reward.context },
    wires.preferences
  )
  const steps = stepsOf(pairs.length, stage.batchSize, stage.epochs)

  yield* train(scope, { ...session, models: { reward } }, {
    steps,
    checkpointEvery: stage.checkpointEvery,
    step: Effect.fnUntraced(function*(n) {
      const batch = batchAt(scope.key, pairs.length, stage.batchSize, n).map((i) => pairs[i]!)
      const rows = [...batch.map(({ chosen }) => chosen), ...batch.map(({ rejected }) => rejected)]
      const offsets = offsetsOf(rows)
      const { values } = reward.values(rows, { retain: true })
      const scores = afterLast(values, offsets)
      const { gradients, loss, metrics } = bradleyTerry(scores.slice(0, batch.length), scores.slice(batch.length), {
        margin: Float64Array.from(batch, ({ margin }) => margin),
        centerRewardsCoefficient: stage.centerRewardsCoefficient
      })
      const rounding = valueGap({ engine, precision: stage.precision, n, steps }, reward, rows, values)
      yield* finite({ loss, ...rounding })
      reward.backward(afterLastBackward(Float64Array.of(...gradients.chosen, ...gradients.rejected), offsets))
      const update = updateOf(stage, n, steps)
      const norm = reward.step(update)
      return {
        tokens: offsets.at(-1)!,
        metrics: { loss, ...metrics, grad_norm: norm, lr: update.learningRate, ...rounding }
      }
    })
  })
  return reward.weights()
}, Effect.scoped)
