import * as Effect from "effect/Effect"
import type { OnPolicyDistill } from "../../dsl/stages/OnPolicyDistill.ts"
import { encodeDemonstrations, encodePrompts } from "../data/encode.ts"
import type { DemonstrationRow, PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Row, Weights } from "../engine/engine.ts"
import { generalizedJsd } from "../losses/distill.ts"
import { onPolicyDistill as reverseKl } from "../losses/onPolicyDistill.ts"
import { stream } from "../sampling/random.ts"
import { batchAt } from "../training/batches.ts"
import { answersOf } from "../training/distilling.ts"
import { klCaps } from "../training/klCaps.ts"
import { finite, observer, open, train, updateOf } from "../training/loop.ts"
import { openers } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/**
 * Learns from a teacher on the student's own answers; see `dsl/stages/OnPolicyDistill.ts`. One update per batch of samples, so the
 * samples are always those of the policy that is updated. As in TRL's GKDTrainer a step is on-policy or not as a whole.
 */
export const onPolicyDistill = Effect.fn("onPolicyDistill")(function*(
  stage: OnPolicyDistill,
  wires: {
    readonly student: Weights
    readonly teacher: Weights
    readonly prompts: ReadonlyArray<PromptRow>
    readonly held: ReadonlyArray<PromptRow>
    readonly demonstrations: ReadonlyArray<DemonstrationRow> | undefined
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const opens = openers(engine, stage)
  const { models: { policy }, ...session } = yield* open<{ policy: Policy }>(scope, {
    policy: { open: opens.policy, initial: wires.student }
  })
  const teacher = yield* observer(opens.policy, wires.teacher)
  const codec = engine.codec(wires.student)
  const use = { stage: scope.label, codec, context: Math.min(policy.context, teacher.context) }
  const prompts = yield* encodePrompts(use, wires.prompts)
  const held = yield* encodePrompts(use, wires.held)
  const given = wires.demonstrations === undefined ? null : yield* encodeDemonstrations(use, wires.demonstrations)
  const { maxNewTokens, objective } = stage
  const sampling = { maxNewTokens, temperature: stage.samplingTemperature, stop: codec.stop }

  /** The rows of step n: the student's, the teacher's, or given ones. */
  const rowsAt = Effect.fnUntraced(function*(n: number) {
    const onPolicy = stream(`${scope.key}/${n}/lambda`).next() < stage.lambda
    const some = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
      batchAt(scope.key, all.length, stage.batchSize, n).map((i) => all[i]!)
    const rows: ReadonlyArray<Row> = !onPolicy && given !== null
      ? some(given)
      : yield* answersOf(onPolicy ? policy : teacher, some(prompts), sampling, `${scope.key}/${n}`)
    return { rows, onPolicy, made: onPolicy || given === null }
  })

  const caps = yield* klCaps(scope, session, {
    policy,
    open: opens.policy,
    opened: [[wires.teacher, teacher]],
    init: wires.student,
    held,
    observing: { rows: wires.held, decode: codec.decode, proxy: null },
    stop: codec.stop,
    measured: stage,
    steps: stage.steps
  })

  yield* train(scope, { ...session, models: { policy } }, {
    steps: stage.steps,
    checkpointEvery: stage.checkpointEvery,
    state: caps.state,
    step: Effect.fnUntraced(function*(n) {
      const { made, onPolicy, rows } = yield* rowsAt(n)
      const tokens = rows.reduce((sum, { completion }) => sum + completion.length, 0)
      let metrics: Readonly<Record<string, number>>
      let gradient: Float64Array
      if (objective._tag === "ReverseKl") {
        const { logps, offsets } = policy.logprobs(rows, { retain: true })
        const loss = reverseKl(logps, teacher.logprobs(rows).logps, offsets, objective)
        metrics = { loss: loss.loss, ...loss.metrics }
        gradient = loss.gradient
      } else {
        const { values } = policy.divergences(rows, teacher, generalizedJsd(objective), { retain: true })
        metrics = { loss: values.reduce((sum, x) => sum + x, 0) / tokens }
        gradient = values.fill(1 / tokens)
      }
      yield* finite(metrics)
      policy.backward(gradient)
      const update = updateOf(stage, n, stage.steps)
      const norm = policy.step(update)
      const step = n + 1
      if (caps.due(step)) yield* caps.measure(step)
      return {
        tokens: tokens * (made ? 2 : 1),
        metrics: {
          ...metrics,
          on_policy: onPolicy ? 1 : 0,
          "completions/mean_length": tokens / rows.length,
          grad_norm: norm,
          lr: update.learningRate
        }
      }
    })
  })
  return policy.weights()
}, Effect.scoped)
