import * as Effect from "effect/Effect"
import type { OnPolicyDistill } from "../../dsl/stages/OnPolicyDistill.ts"
import { demonstrations as demonstrationsBy, prompts as promptsBy } from "../data/encode.ts"
import type { DemonstrationRow, PromptRow } from "../data/rows.ts"
import type { Row, Weights } from "../engine/engine.ts"
import { onPolicyDistill as reverseKl } from "../losses/onPolicyDistill.ts"
import type { Composed } from "../rewards/composed.ts"
import { stream } from "../sampling/random.ts"
import { batchAt } from "../training/batches.ts"
import { answersOf, divergenceLoss } from "../training/distilling.ts"
import { observer } from "../training/loop.ts"
import { fitted } from "../training/fitted.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { openReward } from "../training/openReward.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly student: Weights
  readonly teacher: Weights
  readonly prompts: ReadonlyArray<PromptRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
  /** Judges the weights of `keep`. */
  readonly reward?: Composed<Weights> | undefined
  readonly demonstrations: ReadonlyArray<DemonstrationRow> | undefined
}

/**
 * Learns from a teacher on the student's own answers; see `dsl/stages/OnPolicyDistill.ts`. One update per batch of samples, so the
 * samples always come from the updated policy. As in TRL's GKDTrainer a step is on-policy or not as a whole.
 */
export const onPolicyDistill = (stage: OnPolicyDistill, wires: Wires, scope: Scope) =>
  movePolicy(stage, { init: wires.student, held: wires.held }, scope, (at) =>
    Effect.gen(function*() {
      const { codec, policy } = at
      const teacher = yield* observer(at.open.policy, wires.teacher)
      const use = { ...at.use, context: Math.min(policy.context, teacher.context) }
      const { maxNewTokens, objective, truncation } = stage
      const { encoded: prompts } = yield* fitted(use, wires.prompts, promptsBy(codec, maxNewTokens), stage)
      const given = wires.demonstrations === undefined
        ? null
        : (yield* fitted(use, wires.demonstrations, demonstrationsBy(codec), { truncation })).encoded
      const sampling = { maxNewTokens, temperature: stage.samplingTemperature, stop: codec.stop }

      /** The rows of step n: the student's, the teacher's, or given rows. */
      const rowsAt = (n: number) => {
        const onPolicy = stream(`${scope.stream}/${n}/lambda`).next() < stage.lambda
        const some = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
          batchAt(scope.stream, all.length, stage.batchSize, n).map((i) => all[i]!)
        const rows: ReadonlyArray<Row> = !onPolicy && given !== null
          ? some(given)
          : answersOf(onPolicy ? policy : teacher, some(prompts), sampling, `${scope.stream}/${n}`)
        return { rows, onPolicy, made: onPolicy || given === null }
      }
      return {
        proxy: wires.reward === undefined ? null : yield* openReward(scope, wires.reward, at.open.scorer),
        steps: stage.steps,
        opened: [[wires.teacher, teacher]] as const,
        step: (n: number) =>
          Effect.sync(() => {
            const { made, onPolicy, rows } = rowsAt(n)
            const tokens = rows.reduce((sum, { completion }) => sum + completion.length, 0)
            const common = {
              tokens: tokens * (made ? 2 : 1),
              metrics: { on_policy: onPolicy ? 1 : 0, "completions/mean_length": tokens / rows.length }
            }
            if (objective._tag !== "ReverseKl") {
              return { ...common, ...divergenceLoss(policy, teacher, rows, objective) }
            }
            const { temperature } = sampling
            const { logps, offsets } = policy.logprobs(rows, { retain: true, temperature })
            return {
              ...common,
              passed: { rows, numbers: temperature === 1 ? logps : null },
              learn: reverseKl(logps, teacher.logprobs(rows, { temperature }).logps, offsets, objective)
            }
          })
      }
    }))
