/** Direct alignment on pairs; see `dsl/stages/Dpo.ts`. A batch is its chosen rows, then its rejected rows. */
import * as Effect from "effect/Effect"
import type { Dpo } from "../../dsl/stages/Dpo.ts"
import { encodePairs, encodePrompts, lengthOf } from "../data/encode.ts"
import { charactersOf, type PreferenceRow, type PromptRow } from "../data/rows.ts"
import { lazily } from "../data/lazily.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Weights } from "../engine/engine.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { klCaps } from "../training/klCaps.ts"
import { finite, open, train, updateOf } from "../training/loop.ts"
import { preferenceLossOf } from "../training/ownLosses.ts"
import { logpGap, openers, roundingTurns } from "../training/precision.ts"
import type { Known } from "../training/referenceLogps.ts"
import { referenceLogps } from "../training/referenceLogps.ts"
import type { Scope } from "../training/scope.ts"

export const dpo = Effect.fn("dpo")(function*(
  stage: Dpo,
  wires: {
    readonly init: Weights
    /** There if and only if the loss has one. */
    readonly reference: Known | null
    readonly preferences: ReadonlyArray<PreferenceRow>
    readonly held: ReadonlyArray<PromptRow>
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const lossOf = yield* preferenceLossOf(stage.loss)
  const opens = openers(engine, stage)
  const { models: { policy }, ...session } = yield* open<{ policy: Policy }>(scope, {
    policy: { open: opens.policy, initial: wires.init }
  })
  const codec = engine.codec(wires.init)
  const use = { stage: scope.label, codec, context: policy.context }
  const pairs = yield* encodePairs(use, wires.preferences)
  const held = yield* encodePrompts(use, wires.held)
  const steps = stepsOf(pairs.length, stage.batchSize, stage.epochs)
  const taking = inBatches(
    scope.key,
    pairs.length,
    stage.batchSize,
    {
      tokens: (i) => lengthOf(pairs[i]!.chosen) + lengthOf(pairs[i]!.rejected),
      characters: (i) => charactersOf(wires.preferences[i]!)
    }
  )
  const reference = wires.reference === null ? null : yield* referenceLogps({
    stage: scope.label,
    reference: wires.reference,
    open: opens.policy,
    precision: stage.precision,
    groups: lazily(pairs.length, (i) => [pairs[i]!.chosen, pairs[i]!.rejected]),
    batchSize: 2 * stage.batchSize
  })
  const caps = yield* klCaps(scope, session, {
    policy,
    open: opens.policy,
    opened: [],
    reference: wires.reference?.weights,
    init: wires.init,
    held,
    observing: { rows: wires.held, decode: codec.decode, proxy: null },
    stop: codec.stop,
    measured: stage,
    steps
  })

  yield* train(scope, { ...session, models: { policy } }, {
    steps,
    checkpointEvery: stage.checkpointEvery,
    turns: roundingTurns(stage.precision, steps),
    taking,
    state: caps.state,
    step: Effect.fnUntraced(function*(n) {
      const batch = taking.of(n).map((i) => pairs[i]!)
      const rows = [...batch.map(({ chosen }) => chosen), ...batch.map(({ rejected }) => rejected)]
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      const refLogps = reference === null ? null : Float64Array.from(rows, reference)
      const { gradient, loss, metrics } = lossOf({ logps, refLogps, offsets })
      const rounding = logpGap({ engine, precision: stage.precision, n, steps }, policy, rows, logps)
      yield* finite({ loss, ...rounding })
      policy.backward(gradient)
      const update = updateOf(stage, n, steps)
      const norm = policy.step(update)
      yield* finite({ "gradient norm": norm })
      if (caps.due(n + 1)) yield* caps.measure(n + 1)
      return {
        tokens: logps.length,
        metrics: { loss, ...metrics, grad_norm: norm, lr: update.learningRate, ...rounding }
      }
    })
  })
  return policy.weights()
}, Effect.scoped)
