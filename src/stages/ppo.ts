/**
 * Proximal policy optimisation; see `dsl/stages/Ppo.ts` for the formulas. One step: sample a batch of completions, score them,
 * estimate advantages, then a few passes of clipped updates of policy and value model. KL from the initial model is measured
 * on held prompts every `measureEvery` steps and after the last one; the first measurement above the cap ends the stage.
 *
 * Deviations from TRL's PPOTrainer: policy and value model have an optimiser each, so `vfCoef` scales the value gradient before
 * clipping; there is no padding, so nothing is masked.
 */
import * as Effect from "effect/Effect"
import type { Ppo } from "../../dsl/stages/Ppo.ts"
import { encodePrompts, encodeTexts } from "../data/encode.ts"
import type { PromptRow, TextRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Scorer, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { gae } from "../losses/gae.ts"
import { ppoMetrics } from "../losses/ppo.ts"
import { beforeTokens, beforeTokensBackward } from "../losses/ragged.ts"
import { tokenRewards } from "../losses/rewards.ts"
import { valueLoss } from "../losses/value.ts"
import { whiten } from "../losses/whiten.ts"
import { RunLog } from "../store/runLog.ts"
import { batchAt } from "../training/batches.ts"
import { klCaps } from "../training/klCaps.ts"
import { klControl, movedMost } from "../training/klControl.ts"
import { finite, observer, open, train, updateOf } from "../training/loop.ts"
import { average, passes } from "../training/passes.ts"
import { policyUpdate } from "../training/policyUpdate.ts"
import { logpGap, openers, roundingTurns } from "../training/precision.ts"
import { follow, type Movable, movable } from "../training/reference.ts"
import { pick, rollout } from "../training/rollout.ts"
import type { Scope } from "../training/scope.ts"

export const ppo = Effect.fn("ppo")(function*(
  stage: Ppo,
  wires: {
    readonly init: Weights
    /** If and only if β > 0. */
    readonly reference: Weights | undefined
    readonly reward: Weights
    readonly value: Weights
    readonly prompts: ReadonlyArray<PromptRow>
    readonly held: ReadonlyArray<PromptRow>
    /** If and only if there is a `ptxCoef`. */
    readonly pretraining: ReadonlyArray<TextRow> | undefined
  },
  scope: Scope
) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const opens = openers(engine, stage)
  const moves = stage.referencePolicy._tag !== "Frozen" && wires.reference !== undefined
  const { models, ...session } = yield* open<{ policy: Policy; value: Scorer; reference?: Movable }>(scope, {
    policy: { open: opens.policy, initial: wires.init },
    value: { open: opens.scorer, initial: wires.value },
    ...(moves
      ? { reference: { open: movable(opens.policy), initial: wires.reference!, untrained: true as const } }
      : {})
  })
  const { policy, value } = models
  const frozen = moves || wires.reference === undefined ? null : yield* observer(opens.policy, wires.reference)
  const reference = models.reference ?? frozen
  const reward = yield* observer(opens.scorer, wires.reward)
  const codec = engine.codec(wires.init)
  const use = { stage: scope.label, codec, context: policy.context }
  const prompts = yield* encodePrompts(use, wires.prompts)
  const held = yield* encodePrompts(use, wires.held)
  const texts = wires.pretraining === undefined ? [] : yield* encodeTexts(use, wires.pretraining)
  const { maxNewTokens, temperature } = stage
  const sampling = { maxNewTokens, temperature, topK: 0, topP: 1, stop: codec.stop }
  const scoring = { reward, codec, missingEosPenalty: stage.missingEosPenalty, maxNewTokens }
  const control = klControl(stage, session.state)
  const inReward = stage.loss.kl._tag === "KlInReward"

  /** Samples and scores the episodes of step n. */
  const episodesAt = (n: number) => {
    const chosen = batchAt(scope.key, prompts.length, stage.batchSize, n)
    const asked = chosen.map((i) => ({ ids: prompts[i]!, row: wires.prompts[i]! }))
    const sampled = rollout(
      { policy, reference, sampling, scoring },
      asked,
      asked.map((_, i) => `${scope.key}/${n}/${i}`)
    )
    const { logps, offsets, refLogps, rows, scores } = sampled
    const values = beforeTokens(value.values(rows).values, offsets)
    const beta = inReward ? control.beta() : 0
    const { metrics, rewards } = tokenRewards(logps, refLogps, scores, offsets, { beta })
    const { gamma, lam, valueLam = lam } = stage.advantage
    const { advantages, returns } = gae(rewards, values, offsets, { gamma, lambda: lam })
    const at = { engine, precision: stage.precision, n, steps: stage.steps }
    return {
      ...sampled,
      values,
      returns: valueLam === lam ? returns : gae(rewards, values, offsets, { gamma, lambda: valueLam }).returns,
      chosen,
      advantages: stage.whitenAdvantages ? whiten(advantages) : advantages,
      metrics: { ...metrics, ...logpGap(at, policy, rows, logps), ...sampled.metrics }
    }
  }

  /** Adds the gradient of −γ E[log π] over pretraining text; `k` counts updates. */
  const pretrain = (k: number, episodes: number): Readonly<Record<string, number>> => {
    const documents = batchAt(`${scope.key}/ptx`, texts.length, Math.ceil(stage.ptxRatio * episodes), k)
    const { logps } = policy.logprobs(documents.map((i) => texts[i]!), { retain: true })
    const loss = crossEntropy(logps)
    policy.backward(loss.gradient.map((g) => stage.ptxCoef * g))
    return { "loss/ptx_avg": loss.loss }
  }

  const caps = yield* klCaps(scope, session, {
    policy,
    open: opens.policy,
    // The initial model is usually the reference too: one copy serves both.
    opened: frozen === null ? [] : [[wires.reference!, frozen]],
    // Weights where it stays, the policy itself where it moves: the ledger says which.
    reference: models.reference ?? wires.reference,
    init: wires.init,
    held,
    observing: { rows: wires.held, decode: codec.decode, proxy: reward },
    stop: codec.stop,
    measured: stage,
    steps: stage.steps
  })

  yield* train(scope, { ...session, models }, {
    steps: stage.steps,
    checkpointEvery: stage.checkpointEvery,
    turns: [stage.valueWarmupSteps, ...roundingTurns(stage.precision, stage.steps)],
    state: () => ({ ...caps.state(), ...control.state() }),
    step: Effect.fnUntraced(function*(n) {
      const episodes = episodesAt(n)
      const { advantages, logps, offsets, returns, rows, scores, values } = episodes
      yield* finite({ reward: scores.reduce((sum, x) => sum + x, 0), return: returns.reduce((sum, x) => sum + x, 0) })
      const update = updateOf(stage, n, stage.steps)
      const valueUpdate = { ...update }
      if (stage.valueLearningRate !== undefined) {
        valueUpdate.learningRate *= stage.valueLearningRate / stage.learningRate
      }
      const updates: Array<Readonly<Record<string, number>>> = []
      const valueUpdates: Array<Readonly<Record<string, number>>> = []
      let moved = false
      const minis = passes(`${scope.key}/${n}`, rows.length, {
        miniBatches: stage.numMiniBatches,
        passes: stage.numPpoEpochs
      })
      for (const [k, mini] of minis.entries()) {
        if (n >= stage.valueWarmupSteps && !moved) {
          const metrics: Readonly<Record<string, number>> | null = yield* policyUpdate(policy, episodes, mini, {
            loss: stage.loss,
            beta: control.beta(),
            ...movedMost(stage),
            maxNewTokens,
            update,
            advantages: () => pick(advantages, offsets, mini),
            ...(texts.length > 0 ? { also: () => pretrain(n * minis.length + k, mini.length) } : {})
          }, ppoMetrics)
          // The value model has no sampler to stay close to: it goes on.
          if (metrics === null) moved = true
          else updates.push(metrics)
        }
        const batch = mini.map((i) => rows[i]!)
        const miniOffsets = offsetsOf(batch)
        const values1 = beforeTokens(value.values(batch, { retain: true }).values, miniOffsets)
        const loss = valueLoss(values1, pick(values, offsets, mini), pick(returns, offsets, mini), {
          clipRange: stage.cliprangeValue
        })
        yield* finite({ "value loss": loss.loss })
        value.backward(beforeTokensBackward(loss.gradient.map((g) => g * stage.vfCoef), miniOffsets))
        yield* finite({ "value gradient norm": value.step(valueUpdate) })
        valueUpdates.push(loss.metrics)
      }
      const beta = control.beta()
      control.seen(episodes.metrics["objective/kl"], rows.length)
      const step = n + 1
      if (caps.due(step)) {
        yield* caps.measure(step)
        yield* log.emit({
          _tag: "Sampled",
          stage: scope.label,
          step,
          prompt: wires.prompts[episodes.chosen[0]!]!.prompt,
          completion: codec.decode(rows[0]!.completion),
          score: scores[0]!
        })
      }
      // After KL from it was measured.
      follow(stage.referencePolicy, models.reference, policy, step)
      return {
        tokens: logps.length * (1 + stage.numPpoEpochs),
        metrics: {
          ...episodes.metrics,
          ...average(updates),
          ...average(valueUpdates),
          ...(stage.targetKl === undefined ? {} : { "policy/updates": updates.length }),
          ...((stage.klControl?._tag ?? "FixedBeta") === "FixedBeta" ? {} : { "objective/kl_coef": beta }),
          lr: update.learningRate,
          episode: step * rows.length
        }
      }
    })
  })
  return policy.weights()
}, Effect.scoped)
