import * as Effect from "effect/Effect"
import { Process, type RewardLoss } from "../../dsl/RewardLoss.ts"
import type { RewardModeling } from "../../dsl/stages/RewardModeling.ts"
import type { Dataset } from "../data/dataset.ts"
import { encodeWithin } from "../data/encode.ts"
import { lengthOf } from "../data/cut.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Scorer, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { processRead } from "../rewards/processRead.ts"
import { rewardObjective } from "../rewards/objective.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { keeper, keptModel } from "../training/keeping.ts"
import { descend } from "../training/descent.ts"
import { fitted } from "../training/fitted.ts"
import { openModels } from "../training/loop.ts"
import { openers } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/** Trains a reward model; see `dsl/stages/RewardModeling.ts`. `rewards/objective.ts` has the inputs of its loss. */
export const rewardModeling = Effect.fn("rewardModeling")(function*(
  stage: RewardModeling,
  wires: {
    readonly init: Weights
    readonly preferences: Dataset
    /** For `keep` alone. */
    readonly validation?: Dataset | undefined
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const codec = engine.codec(wires.init)
  // Every letter of a tabular world is a step by itself.
  const rewardLoss: RewardLoss = stage.loss._tag === "Process" && engine.kind === "tabular"
    ? new Process({ ...stage.loss, separator: "" })
    : stage.loss
  // The reading of a process reward model is no part of its training.
  const [open, initial] = [openers(engine, stage).scorer, processRead(wires.init, null, codec)]
  const { models: { kept, reward }, ...session } = yield* openModels<{ reward: Scorer; kept?: Scorer }>(scope, {
    reward: { open, initial },
    ...keptModel(stage.keep, open, initial)
  })
  const use = { stage: scope.label, codec, context: reward.context }
  const objective = yield* rewardObjective(
    rewardLoss,
    use,
    wires.preferences,
    (rows, encoding) => fitted(use, rows, encoding, stage)
  )
  const steps = stepsOf(objective.count, stage)
  const taking = inBatches(
    scope.stream,
    objective.from,
    stage.batchSize,
    (i) => objective.rows(i).reduce((sum, row) => sum + lengthOf(row), 0)
  )

  const validation = wires.validation === undefined ? null : yield* rewardObjective(
    rewardLoss,
    use,
    wires.validation,
    (rows, encoding) => encodeWithin(use, rows, encoding)
  )
  /** The mean loss of the held-out rows, in batches as in training. */
  const lossOn = () =>
    Effect.sync(() => {
      const { batch, count } = validation!
      let sum = 0
      for (let first = 0; first < count; first += stage.batchSize) {
        const length = Math.min(stage.batchSize, count - first)
        const { loss, rows } = batch(Array.from({ length }, (_, i) => first + i))
        sum += length * loss(reward.values(rows).values, offsetsOf(rows)).loss
      }
      return sum / count
    })
  const keeps = yield* keeper(scope, stage.keep, {
    trained: reward,
    kept,
    steps,
    taking,
    state: session.state,
    validate: lossOn
  })

  yield* descend(scope, { ...session, models: kept === undefined ? { reward } : { reward, kept } }, stage, reward, {
    steps,
    taking,
    after: keeps.after,
    ...(stage.keep?._tag === "Best" ? { state: keeps.state } : {}),
    step: (n) =>
      Effect.sync(() => {
        const { loss, rows } = objective.batch(taking.of(n))
        const offsets = offsetsOf(rows)
        const { values } = reward.values(rows, { retain: true })
        return { passed: { rows, numbers: values }, learn: loss(values, offsets), tokens: offsets.at(-1)! }
      })
  })
  return processRead(keeps.weights(), rewardLoss, codec)
}, Effect.scoped)
