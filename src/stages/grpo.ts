/**
 * Policy gradients without a value model; see `dsl/stages/Grpo.ts` for the formulas. One step: sample groups of completions, score
 * them, then a few passes of updates on mini-batches of whole groups. KL from the initial model is measured as in `ppo.ts`.
 *
 * Deviations from TRL's GRPOTrainer: (1) mini-batches are of whole groups, TRL's of shuffled completions; (2) completion i of prompt p
 * in step n has a random stream of its own; (3) `DAPO`'s and `CISPO`'s token mean is over the tokens of one update.
 */
import * as Effect from "effect/Effect"
import { changesOf, valuesAt } from "../../dsl/FromStep.ts"
import type { Grpo } from "../../dsl/stages/Grpo.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Update, Weights } from "../engine/engine.ts"
import { tokenAdvantages } from "../losses/advantages.ts"
import { grpoMetrics } from "../losses/grpo.ts"
import { tokenRewards } from "../losses/rewards.ts"
import { type Composed, turnsOf } from "../rewards/composed.ts"
import { answered } from "../rewards/answers.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable } from "../rewards/rewarding.ts"
import type { Metrics } from "../store/runLog.ts"
import { transcriptOf } from "../training/answering.ts"
import { fitted } from "../training/fitted.ts"
import { grouping, rowsOf } from "../training/groups.ts"
import { klControl, movedMost } from "../training/klControl.ts"
import { finite } from "../training/loop.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { average, miniBatches } from "../training/miniBatches.ts"
import { openReward } from "../training/openReward.ts"
import { policyUpdate } from "../training/policyUpdate.ts"
import type { Openers } from "../training/precision.ts"
import { movingReference, referenceOf } from "../training/reference.ts"
import { pick } from "../training/rollout.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly init: Weights
  /** Present if and only if β > 0. */
  readonly reference: Weights | undefined
  readonly reward: Composed<Weights> | undefined
  readonly prompts: ReadonlyArray<PromptRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
}

export const grpo = Effect.fn("grpo")(function*(stage: Grpo, { held, init, ...wires }: Wires, scope: Scope) {
  const judge = yield* Judge
  yield* answered(scope.label, judge, stage.verifiers, wires.prompts)
  if (wires.reward !== undefined) yield* judgeable(scope.label, judge, wires.reward, wires.prompts)
  const beside = (open: Openers) => movingReference(stage.referencePolicy, wires.reference, open.policy)
  return yield* movePolicy(stage, { init, held, beside }, scope, (at) =>
    Effect.gen(function*() {
      const { answering, codec, open, policy, use } = at
      const { reference, told } = yield* referenceOf(stage.referencePolicy, wires.reference, at)
      const { groupSize } = stage
      const { encoded: prompts, rows: asks } = yield* fitted(
        use,
        wires.prompts,
        answering.encoding(stage.maxNewTokens),
        stage
      )
      const scoring = {
        reward: wires.reward === undefined ? null : yield* openReward(scope, wires.reward, open.scorer),
        codec,
        stage: scope.label,
        verifiers: stage.verifiers,
        judge,
        missingEosPenalty: stage.missingEosPenalty,
        maxNewTokens: stage.maxNewTokens,
        overlong: stage.overlong
      }
      const control = klControl(stage, at.state)
      const inReward = stage.loss.kl._tag === "KlInReward"
      const place = (n: number, k: number) => `${n}/${k}`
      const rolling = { answering, asks, place, policy, prompts, reference, scoring, state: at.state }
      const groups = grouping(stage, scope, rolling)

      return {
        ...told,
        steps: stage.steps,
        turns: [...changesOf(stage), ...wires.reward === undefined ? [] : turnsOf(wires.reward)],
        proxy: scoring.reward,
        scoring,
        state: () => ({ ...control.state(), ...groups.state() }),
        step: Effect.fnUntraced(function*(n: number) {
          const { loss, maxNewTokens, temperature } = valuesAt(stage, n)
          const rolled = yield* groups.at(n)
          const { all, count, episodes } = rolled
          const { chosen, episodes: first } = rolled.batches[0]!
          yield* finite({ reward: all.scores.reduce((sum, x) => sum + x, 0) })
          const { advantages } = tokenAdvantages(
            stage.advantage,
            { ...episodes, refLogps: inReward ? episodes.refLogps : null },
            { beta: control.beta(n), groupSize }
          )
          const learn = Effect.fnUntraced(function*(update: Update) {
            const updates: Array<Metrics> = []
            const minis = count === 0
              ? []
              : miniBatches(`${scope.stream}/${n}`, count, {
                miniBatches: stage.numMiniBatches,
                passes: stage.numIterations
              })
            for (const mini of minis) {
              const rows = rowsOf(mini, groupSize)
              /** Advantages that include the current KL of the policy, and move with it. */
              const contrasted = (logps: Float64Array, offsets: Int32Array): Float64Array =>
                tokenAdvantages(stage.advantage, {
                  scores: Float64Array.from(rows, (row) => episodes.scores[row]!),
                  logps,
                  refLogps: inReward && episodes.refLogps !== null
                    ? pick(episodes.refLogps, episodes.offsets, rows)
                    : null,
                  earned: episodes.earned === null ? null : pick(episodes.earned, episodes.offsets, rows),
                  offsets
                }, { beta: control.beta(n), groupSize }).advantages
              const metrics = yield* policyUpdate(policy, episodes, rows, {
                loss,
                beta: control.beta(n),
                ...movedMost(stage),
                maxNewTokens: answering.maxTurns * maxNewTokens,
                temperature,
                positiveNll: stage.positiveNll,
                update,
                advantages: loss._tag === "PolicyLoss" && loss.objective._tag === "Contrastive"
                  ? contrasted
                  : () => pick(advantages, episodes.offsets, rows)
              }, grpoMetrics)
              if (metrics === null) break
              updates.push(metrics)
            }
            const { metrics } = tokenRewards(all.logps, all.refLogps, all.scores, all.offsets, {
              beta: inReward ? control.beta(n) : 0
            })
            const coefficient = control.metrics(n)
            control.seen(metrics["objective/kl"], all.scores.length)
            const { grouped, sampled, scores } = yield* groups.learned(n, rolled)
            return {
              ...metrics,
              ...sampled,
              ...scores,
              ...average(updates),
              ...(stage.targetKl === undefined ? {} : { "policy/updates": updates.length }),
              ...coefficient,
              ...grouped,
              lr: update.learningRate
            }
          })
          return {
            passed: { rows: first.rows, numbers: temperature === 1 ? first.logps : null },
            learn,
            tokens: all.logps.length + episodes.logps.length * stage.numIterations,
            sampled: () => ({
              prompt: asks[chosen[0]!]!.prompt,
              completion: transcriptOf(codec, first.first),
              score: first.scores[0]!
            })
          }
        })
      }
    }))
})
