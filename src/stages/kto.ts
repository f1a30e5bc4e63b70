/** Direct alignment on answers labelled one by one; see `dsl/stages/Kto.ts`. */
import * as Effect from "effect/Effect"
import type { Kto } from "../../dsl/stages/Kto.ts"
import { encodePrompts, encodeUnpaired, lengthOf } from "../data/encode.ts"
import { charactersOf, type PromptRow, type UnpairedPreferenceRow } from "../data/rows.ts"
import { lazily } from "../data/lazily.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Row, Weights } from "../engine/engine.ts"
import { kto as ktoLoss, ktoKl } from "../losses/kto.ts"
import { sumRows } from "../losses/ragged.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { klCaps } from "../training/klCaps.ts"
import { finite, open, train, updateOf } from "../training/loop.ts"
import { logpGap, openers, roundingTurns } from "../training/precision.ts"
import type { Known } from "../training/referenceLogps.ts"
import { referenceLogps } from "../training/referenceLogps.ts"
import type { Scope } from "../training/scope.ts"

/** Each prompt with the answer before its own: (x₁, yₙ), (x₂, y₁), …; those that the context does not hold are left out. */
const mismatched = (rows: ReadonlyArray<Row>, context: number): ReadonlyArray<Row> =>
  rows.map(({ prompt }, i): Row => ({ prompt, completion: rows.at(i - 1)!.completion }))
    .filter(({ completion, prompt }) => rows.length > 1 && prompt.length + completion.length <= context)

export const kto = Effect.fn("kto")(function*(
  stage: Kto,
  wires: {
    readonly init: Weights
    readonly reference: Known
    readonly preferences: ReadonlyArray<UnpairedPreferenceRow>
    readonly held: ReadonlyArray<PromptRow>
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const opens = openers(engine, stage)
  const { models: { policy }, ...session } = yield* open<{ policy: Policy }>(scope, {
    policy: { open: opens.policy, initial: wires.init }
  })
  const codec = engine.codec(wires.init)
  const use = { stage: scope.label, codec, context: policy.context }
  const answers = yield* encodeUnpaired(use, wires.preferences)
  const held = yield* encodePrompts(use, wires.held)
  const steps = stepsOf(answers.length, stage.batchSize, stage.epochs)
  const taking = inBatches(scope.key, answers.length, stage.batchSize, {
    tokens: (i) => lengthOf(answers[i]!.row),
    characters: (i) => charactersOf(wires.preferences[i]!)
  })
  const batches = lazily(steps, (n) => {
    const batch = taking.of(n).map((i) => answers[i]!)
    const rows = batch.map(({ row }) => row)
    return {
      rows,
      desirable: batch.map(({ label }) => label),
      others: stage.loss === "kto" ? mismatched(rows, policy.context) : []
    }
  })
  const reference = yield* referenceLogps({
    stage: scope.label,
    reference: wires.reference,
    open: opens.policy,
    precision: stage.precision,
    groups: lazily(steps, (n) => [...batches[n]!.rows, ...batches[n]!.others]),
    batchSize: stage.batchSize
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
      const { desirable, others, rows } = batches[n]!
      const elsewhere = others.length === 0 ? null : policy.logprobs(others)
      const kl = elsewhere === null ? 0 : ktoKl(
        sumRows(elsewhere.logps, elsewhere.offsets),
        Float64Array.from(others, reference)
      )
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      const refLogps = Float64Array.from(rows, reference)
      const { gradient, loss, metrics } = ktoLoss(logps, refLogps, offsets, desirable, { ...stage, kl })
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
