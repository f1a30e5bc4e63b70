import { Effect } from "effect"
import type { Sft } from "../../dsl/stages/Sft.ts"
import { encodeDemonstrations } from "../data/encode.ts"
import type { DemonstrationRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { batchAt, stepsOf } from "../training/batches.ts"
import { finite, open, train, updateOf } from "../training/loop.ts"
import { logpGap, openers } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/** Fine-tunes on demonstrations; see `dsl/stages/Sft.ts`. */
export const sft = Effect.fn("sft")(function*(
  stage: Sft,
  wires: { readonly base: Weights; readonly demonstrations: ReadonlyArray<DemonstrationRow> },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const { models: { policy }, ...session } = yield* open<{ policy: Policy }>(scope, {
    policy: { open: openers(engine, stage).policy, initial: wires.base }
  })
  const rows = yield* encodeDemonstrations(
    { stage: scope.label, codec: engine.codec(wires.base), context: policy.context },
    wires.demonstrations
  )
  const steps = stepsOf(rows.length, stage.batchSize, stage.epochs)

  yield* train(scope, { ...session, models: { policy } }, {
    steps,
    checkpointEvery: stage.checkpointEvery,
    step: Effect.fnUntraced(function*(n) {
      const batch = batchAt(scope.key, rows.length, stage.batchSize, n).map((i) => rows[i]!)
      const reduction = stage.reduction === "sum" ? "sum" : "mean"
      const denominator = offsetsOf(batch)[batch.length]!
      const { entropies, logps } = policy.learn(
        batch,
        (logps) => crossEntropy(logps, { reduction, denominator }).gradient
      )
      const { loss } = crossEntropy(logps, { reduction })
      const rounding = logpGap({ engine, precision: stage.precision, n, steps }, policy, batch, logps)
      yield* finite({ loss, ...rounding })
      const update = updateOf(stage, n, steps)
      const norm = policy.step(update)
      const entropy = entropies.reduce((sum, x) => sum + x, 0) / entropies.length
      return { tokens: logps.length, metrics: { loss, entropy, grad_norm: norm, lr: update.learningRate, ...rounding } }
    })
  })
  return policy.weights()
}, Effect.scoped)
