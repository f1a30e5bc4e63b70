/**
 * Proximal policy optimisation; see `dsl/stages/Ppo.ts` for the formulas. One step: sample a batch of completions, score them,
 * estimate advantages, then a few passes of clipped updates of policy and value model. KL from the initial model is measured
 * on held prompts every `measureEvery` steps and after the last one; the first measurement above the cap ends the stage.
 *
 * Deviations from TRL's PPOTrainer: policy and value model have an optimiser each, so `vfCoef` scales the value gradient before
 * clipping; there is no padding, so nothing is masked.
 */
import { Effect } from "effect"
import type { Ppo } from "../../dsl/stages/Ppo.ts"
import { encodePrompts } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy, Row, Scorer, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { gae } from "../losses/gae.ts"
import { ppo as ppoLoss } from "../losses/ppo.ts"
import { afterLast, beforeTokens, beforeTokensBackward } from "../losses/ragged.ts"
import { tokenRewards } from "../losses/rewards.ts"
import { valueLoss } from "../losses/value.ts"
import { whiten } from "../losses/whiten.ts"
import { stream } from "../sampling/random.ts"
import { RunLog } from "../store/runLog.ts"
import { batchAt } from "../training/batches.ts"
import { klCaps } from "../training/klCaps.ts"
import { finite, observer, open, train, updateOf } from "../training/loop.ts"
import { logpGap, openers } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/** The numbers of some rows out of ragged per-token numbers, one row after the other. */
const pick = (tokens: Float64Array, offsets: Int32Array, rows: ReadonlyArray<number>): Float64Array =>
  Float64Array.from(rows.flatMap((row) => Array.from(tokens.subarray(offsets[row]!, offsets[row + 1]!))))

const average = (all: ReadonlyArray<Readonly<Record<string, number>>>): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const one of all) {
    for (const [name, value] of Object.entries(one)) sums[name] = (sums[name] ?? 0) + value / all.length
  }
  return sums
}

export const ppo = Effect.fn("ppo")(function*(
  stage: Ppo,
  wires: {
    readonly init: Weights
    readonly reference: Weights
    readonly reward: Weights
    readonly value: Weights
    readonly prompts: ReadonlyArray<PromptRow>
    readonly held: ReadonlyArray<PromptRow>
  },
  scope: Scope
) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const opens = openers(engine, stage)
  const { models: { policy, value }, ...session } = yield* open<{ policy: Policy; value: Scorer }>(scope, {
    policy: { open: opens.policy, initial: wires.init },
    value: { open: opens.scorer, initial: wires.value }
  })
  const reference = yield* observer(opens.policy, wires.reference)
  const reward = yield* observer(opens.scorer, wires.reward)
  const codec = engine.codec(wires.init)
  const use = { stage: scope.label, codec, context: policy.context }
  const prompts = yield* encodePrompts(use, wires.prompts)
  const held = yield* encodePrompts(use, wires.held)
  const stop = codec.stop

  /** Samples and scores the episodes of step n. */
  const rollout = (n: number) => {
    const chosen = batchAt(scope.key, prompts.length, stage.batchSize, n)
    const asked = chosen.map((i) => prompts[i]!)
    const sampling = { maxNewTokens: stage.maxNewTokens, temperature: stage.temperature, topK: 0, topP: 1, stop }
    const sampled = policy.sample(asked, sampling, asked.map((_, i) => `${scope.key}/${n}/${i}`))
    const rows = sampled.map(({ completion }, i): Row => ({ prompt: asked[i]!, completion }))
    const offsets = offsetsOf(rows)
    const { entropies, logps } = policy.logprobs(rows)
    const refLogps = reference.logprobs(rows).logps
    const scored = afterLast(reward.values(rows).values, offsets)
    const scores = scored.map((score, i) => sampled[i]!.finished ? score : score - stage.missingEosPenalty)
    const values = beforeTokens(value.values(rows).values, offsets)
    const { metrics, rewards } = tokenRewards(logps, refLogps, scores, offsets, stage)
    const { advantages, returns } = gae(rewards, values, offsets, { gamma: stage.gamma, lambda: stage.lam })
    const at = { engine, precision: stage.precision, n, steps: stage.steps }
    const ended = sampled.filter(({ finished }) => finished).length / rows.length
    return {
      rows,
      offsets,
      logps,
      values,
      returns,
      scores,
      chosen,
      advantages: stage.whitenAdvantages ? whiten(advantages) : advantages,
      metrics: {
        ...metrics,
        ...logpGap(at, policy, rows, logps),
        "objective/entropy": entropies.reduce((sum, x) => sum + x, 0) / rows.length,
        "val/num_eos_tokens": ended * rows.length,
        "completions/mean_length": logps.length / rows.length
      }
    }
  }

  const caps = yield* klCaps(scope, session, {
    policy,
    open: opens.policy,
    // The initial model is usually the reference too: one copy serves both.
    opened: [[wires.reference, reference]],
    held,
    stop,
    measured: stage,
    steps: stage.steps
  })

  yield* train(scope, { ...session, models: { policy, value } }, {
    steps: stage.steps,
    checkpointEvery: stage.checkpointEvery,
    state: caps.state,
    step: Effect.fnUntraced(function*(n) {
      const episodes = rollout(n)
      const { advantages, logps, offsets, returns, rows, scores, values } = episodes
      yield* finite({ reward: scores.reduce((sum, x) => sum + x, 0), return: returns.reduce((sum, x) => sum + x, 0) })
      const update = updateOf(stage, n, stage.steps)
      const valueUpdate = { ...update }
      if (stage.valueLearningRate !== undefined) {
        valueUpdate.learningRate *= stage.valueLearningRate / stage.learningRate
      }
      const updates: Array<Readonly<Record<string, number>>> = []
      const size = Math.ceil(rows.length / stage.numMiniBatches)
      for (let epoch = 0; epoch < stage.numPpoEpochs; epoch++) {
        const order = stream(`${scope.key}/${n}/epoch-${epoch}`).shuffle(rows.map((_, i) => i))
        for (let at = 0; at < rows.length; at += size) {
          const mini = order.slice(at, at + size)
          const batch = mini.map((i) => rows[i]!)
          const miniOffsets = offsetsOf(batch)
          let metrics: Record<string, number> = {}
          if (n >= stage.valueWarmupSteps) {
            const loss = ppoLoss(
              policy.logprobs(batch, { retain: true }).logps,
              pick(logps, offsets, mini),
              pick(advantages, offsets, mini),
              { clipRange: stage.cliprange }
            )
            yield* finite({ "policy loss": loss.loss })
            policy.backward(loss.gradient)
            const norm = policy.step(update)
            yield* finite({ "policy gradient norm": norm })
            metrics = { ...loss.metrics, "policy/grad_norm": norm }
          }
          const values1 = beforeTokens(value.values(batch, { retain: true }).values, miniOffsets)
          const loss = valueLoss(values1, pick(values, offsets, mini), pick(returns, offsets, mini), {
            clipRange: stage.cliprangeValue
          })
          yield* finite({ "value loss": loss.loss })
          value.backward(beforeTokensBackward(loss.gradient.map((g) => g * stage.vfCoef), miniOffsets))
          yield* finite({ "value gradient norm": value.step(valueUpdate) })
          updates.push({ ...metrics, ...loss.metrics })
        }
      }
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
      return {
        tokens: logps.length * (1 + stage.numPpoEpochs),
        metrics: { ...episodes.metrics, ...average(updates), lr: update.learningRate, episode: step * rows.length }
      }
    })
  })
  return policy.weights()
}, Effect.scoped)
