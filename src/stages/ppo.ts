/**
 * Proximal policy optimisation; see `dsl/stages/Ppo.ts` for the formulas. One step: sample a batch of completions, score them,
 * estimate advantages, then a few passes of clipped updates of policy and value model. KL from the initial model is measured
 * on held prompts every `measureEvery` steps and after the last one; the first measurement above the cap ends the stage.
 *
 * Deviations from TRL's PPOTrainer: policy and value model have an optimiser each, so `vfCoef` scales the value gradient before
 * clipping; there is no padding, so no token is masked.
 */
import * as Effect from "effect/Effect"
import { changesOf, valuesAt } from "../../dsl/FromStep.ts"
import type { Ppo } from "../../dsl/stages/Ppo.ts"
import { texts as textsBy } from "../data/encode.ts"
import type { PromptRow, TextRow } from "../data/rows.ts"
import type { Scorer, Update, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { byLength, gae } from "../losses/gae.ts"
import { ppoMetrics } from "../losses/ppo.ts"
import { beforeTokens, beforeTokensBackward } from "../losses/ragged.ts"
import { tokenRewards } from "../losses/rewards.ts"
import { valueLoss } from "../losses/value.ts"
import { whiten } from "../losses/whiten.ts"
import { type Composed, turnsOf } from "../rewards/composed.ts"
import { answered } from "../rewards/answers.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable } from "../rewards/rewarding.ts"
import type { Metrics } from "../store/runLog.ts"
import { transcriptOf } from "../training/answering.ts"
import { batchAt } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { grouping, type Groups } from "../training/groups.ts"
import { klControl, movedMost } from "../training/klControl.ts"
import { finite, type Opened } from "../training/loop.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { average, miniBatches } from "../training/miniBatches.ts"
import { openReward } from "../training/openReward.ts"
import { policyUpdate } from "../training/policyUpdate.ts"
import type { Openers } from "../training/precision.ts"
import { type Movable, movingReference, referenceOf } from "../training/reference.ts"
import { pick } from "../training/rollout.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly init: Weights
  /** Present if and only if β > 0. */
  readonly reference: Weights | undefined
  readonly reward: Composed<Weights> | undefined
  readonly value: Weights
  readonly prompts: ReadonlyArray<PromptRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
  /** Present if and only if there is a `ptxCoef`. */
  readonly pretraining: ReadonlyArray<TextRow> | undefined
}

export const ppo = Effect.fn("ppo")(function*(stage: Ppo, { held, init, ...wires }: Wires, scope: Scope) {
  const judge = yield* Judge
  const { verifiers = [] } = stage
  yield* answered(scope.label, judge, verifiers, wires.prompts)
  if (wires.reward !== undefined) yield* judgeable(scope.label, judge, wires.reward, wires.prompts)
  const beside = (open: Openers): Opened<{ value: Scorer; reference?: Movable }> => ({
    value: { open: open.scorer, initial: wires.value },
    ...movingReference(stage.referencePolicy, wires.reference, open.policy)
  })
  return yield* movePolicy(stage, { init, held, beside }, scope, (at) =>
    Effect.gen(function*() {
      const { answering, codec, models: { value }, open, policy, use } = at
      const { reference, told } = yield* referenceOf(stage.referencePolicy, wires.reference, at)
      const reward = wires.reward === undefined ? null : yield* openReward(scope, wires.reward, open.scorer)
      const { truncation } = stage
      const { encoded: prompts, rows: asks } = yield* fitted(
        use,
        wires.prompts,
        answering.encoding(stage.maxNewTokens),
        stage
      )
      const texts = wires.pretraining === undefined
        ? []
        : (yield* fitted(use, wires.pretraining, textsBy(codec), { truncation })).encoded
      const { missingEosPenalty } = stage
      const scoring = {
        stage: scope.label,
        reward,
        codec,
        verifiers,
        judge,
        missingEosPenalty,
        maxNewTokens: stage.maxNewTokens,
        overlong: stage.overlong
      }
      const control = klControl(stage, at.state)
      const inReward = stage.loss.kl._tag === "KlInReward"
      const place = (n: number, k: number) => k === 0 ? `${n}` : `${n}/${k}`
      const rolling = { answering, asks, place, policy, prompts, reference, scoring, state: at.state }
      const groups = grouping(stage, scope, rolling)

      /** What the groups of step `n` teach. */
      const estimated = (n: number, { all, episodes }: Groups) => {
        const { earned, logps, offsets, refLogps, rows, scores } = episodes
        const values = beforeTokens(rows.length === 0 ? new Float64Array() : value.values(rows).values, offsets)
        const beta = inReward ? control.beta(n) : 0
        const { rewards } = tokenRewards(logps, refLogps, scores, offsets, { beta, earned })
        const { metrics } = tokenRewards(all.logps, all.refLogps, all.scores, all.offsets, { beta, earned: all.earned })
        const { gamma, lam, lamByLength, valueLam } = stage.advantage
        const lambda = lamByLength === undefined ? lam : byLength(offsets, lamByLength)
        const { advantages, returns } = gae(rewards, values, offsets, { gamma, lambda })
        return {
          values,
          returns: valueLam === undefined || valueLam === lambda
            ? returns
            : gae(rewards, values, offsets, { gamma, lambda: valueLam }).returns,
          advantages: stage.whitenAdvantages && rows.length > 0 ? whiten(advantages) : advantages,
          metrics
        }
      }

      /** Adds the gradient of −γ E[log π] over pretraining text; `k` counts updates. */
      const pretrain = (k: number, episodes: number): Metrics => {
        const documents = batchAt(`${scope.stream}/ptx`, texts.length, Math.ceil(stage.ptxRatio * episodes), k)
        const { logps } = policy.logprobs(documents.map((i) => texts[i]!), { retain: true })
        const loss = crossEntropy(logps)
        policy.backward(loss.gradient.map((g) => stage.ptxCoef * g))
        return { "loss/ptx_avg": loss.loss }
      }

      return {
        ...told,
        steps: stage.steps,
        turns: [
          stage.valueWarmupSteps,
          ...changesOf(stage),
          ...wires.reward === undefined ? [] : turnsOf(wires.reward)
        ],
        proxy: reward,
        scoring,
        state: () => ({ ...control.state(), ...groups.state() }),
        step: Effect.fnUntraced(function*(n: number) {
          const { loss, maxNewTokens, temperature } = valuesAt(stage, n)
          const rolled = yield* groups.at(n)
          const { all, episodes } = rolled
          const { chosen, episodes: first } = rolled.batches[0]!
          const { logps, offsets, rows } = episodes
          const { advantages, metrics, returns, values } = estimated(n, rolled)
          yield* finite({
            reward: all.scores.reduce((sum, x) => sum + x, 0),
            return: returns.reduce((sum, x) => sum + x, 0)
          })
          const learn = Effect.fnUntraced(function*(update: Update) {
            const valueUpdate = { ...update }
            if (stage.valueLearningRate !== undefined) {
              valueUpdate.learningRate *= stage.valueLearningRate / stage.learningRate
            }
            const updates: Array<Metrics> = []
            const valueUpdates: Array<Metrics> = []
            let moved = false
            const minis = rows.length === 0
              ? []
              : miniBatches(`${scope.stream}/${n}`, rows.length, {
                miniBatches: stage.numMiniBatches,
                passes: stage.numPpoEpochs
              })
            for (const [k, mini] of minis.entries()) {
              if (n >= stage.valueWarmupSteps && !moved) {
                const metrics: Metrics | null = yield* policyUpdate(policy, episodes, mini, {
                  loss,
                  beta: control.beta(n),
                  ...movedMost(stage),
                  maxNewTokens: answering.maxTurns * maxNewTokens,
                  temperature,
                  positiveNll: stage.positiveNll,
                  update,
                  advantages: () => pick(advantages, offsets, mini),
                  ...(texts.length > 0 ? { also: () => pretrain(n * minis.length + k, mini.length) } : {})
                }, ppoMetrics)
                // The value model has no sampler to stay close to, so its updates continue.
                if (metrics === null) moved = true
                else updates.push(metrics)
              }
              const batch = mini.map((i) => rows[i]!)
              const miniOffsets = offsetsOf(batch)
              const values1 = beforeTokens(value.values(batch, { retain: true }).values, miniOffsets)
              const fit = valueLoss(values1, pick(values, offsets, mini), pick(returns, offsets, mini), {
                clipRange: stage.cliprangeValue
              })
              yield* finite({ "value loss": fit.loss })
              value.backward(beforeTokensBackward(fit.gradient.map((g) => g * stage.vfCoef), miniOffsets))
              yield* finite({ "value gradient norm": value.step(valueUpdate) })
              valueUpdates.push(fit.metrics)
            }
            const coefficient = control.metrics(n)
            control.seen(metrics["objective/kl"], all.scores.length)
            const { grouped, sampled, scores } = yield* groups.learned(n, rolled)
            const { episode, ...counts } = grouped
            return {
              ...metrics,
              ...sampled,
              ...(stage.groupSize === undefined ? {} : scores),
              ...average(updates),
              ...average(valueUpdates),
              ...(stage.targetKl === undefined ? {} : { "policy/updates": updates.length }),
              ...coefficient,
              ...(stage.groupSize === undefined ? {} : counts),
              lr: update.learningRate,
              episode
            }
          })
          return {
            passed: { rows: first.rows, numbers: temperature === 1 ? first.logps : null },
            learn,
            tokens: all.logps.length + logps.length * stage.numPpoEpochs,
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
