/**
 * Policy gradients in an environment, by the losses that train language models: `gae`, `whiten`, `ppo`, `value`. What is called a
 * token there is a step here: many in an episode, each with a reward, discounted by γ.
 */
import type { Control } from "../../dsl/Control.ts"
import { gae } from "../losses/gae.ts"
import { ppo } from "../losses/ppo.ts"
import { valueLoss } from "../losses/value.ts"
import { whiten } from "../losses/whiten.ts"
import { learningRateAt } from "../optim/schedule.ts"
import { stream } from "../sampling/random.ts"
import type { Environment } from "./environment.ts"
import { type Episodes, episodes, logSoftmaxRows } from "./episodes.ts"
import { network } from "./network.ts"

const rowsOf = (of: Float64Array, width: number, rows: ReadonlyArray<number>): Float64Array => {
  const picked = new Float64Array(rows.length * width)
  rows.forEach((row, i) => picked.set(of.subarray(row * width, (row + 1) * width), i * width))
  return picked
}

/** dLoss/dLogits of log π(action), given dLoss/dLogp: (1[action] − π) dLogp. */
const toLogits = (dLogps: Float64Array, log: Float64Array, actions: ReadonlyArray<number>): Float64Array => {
  const width = log.length / actions.length
  return log.map((logp, i) => {
    const row = Math.floor(i / width)
    return ((i % width === actions[row] ? 1 : 0) - Math.exp(logp)) * dLogps[row]!
  })
}

/** A policy, and a value function when there is a baseline; `seed` seeds everything. */
export const learner = <S>(environment: Environment<S>, control: Control, seed: string) => {
  const { discount: gamma } = environment.setting
  const { actions: width, features } = environment
  // A last layer near 0 begins with the uniform policy.
  const policy = network([features, ...control.hidden, width], stream(`${seed}/policy`), 0.01)
  const value = network([features, ...control.hidden, 1], stream(`${seed}/value`), 1)
  const valuesOf = (observations: Float64Array): Float64Array =>
    control.baseline === "none" ? new Float64Array(observations.length / features) : value.forward(observations)

  /** Advantages and returns; an episode that was cut off goes on at the value of its last state. */
  const estimate = ({ cutOff, observations, offsets, rewards }: Episodes) => {
    const values = valuesOf(observations)
    const bootstrapped = rewards.slice()
    cutOff.forEach((seen, episode) => {
      if (seen !== null) bootstrapped[offsets[episode + 1]! - 1]! += gamma * valuesOf(Float64Array.from(seen))[0]!
    })
    return { values, ...gae(bootstrapped, values, offsets, { gamma, lambda: control.lam }) }
  }

  return {
    policy,
    /** The value of a state by the value function; 0 without it. */
    value: (state: S): number => valuesOf(Float64Array.from(environment.observe(state)))[0]!,
    /** Mean return of evaluation episodes, which do not train. */
    evaluate: (name: string, count: number): number =>
      episodes(environment, policy, Array.from({ length: count }, (_, i) => `${seed}/evaluate/${name}/${i}`))
        .meanReturn,
    /** Acts, then learns from it. */
    step: (n: number) => {
      const seeds = Array.from({ length: control.episodesPerStep }, (_, i) => `${seed}/${n}/${i}`)
      const acted = episodes(environment, policy, seeds)
      const { advantages, returns, values } = estimate(acted)
      const wanted = control.whitenAdvantages ? whiten(advantages) : advantages
      const update = {
        learningRate: learningRateAt(control, n, control.steps),
        beta1: control.adamBeta1,
        beta2: control.adamBeta2,
        eps: control.adamEpsilon,
        weightDecay: control.weightDecay,
        maxGradNorm: control.maxGradNorm
      }
      const all = Array.from({ length: acted.actions.length }, (_, i) => i)
      const size = control.miniBatchSize ?? all.length
      let loss = 0
      for (let epoch = 0; epoch < control.numPpoEpochs; epoch++) {
        const order = stream(`${seed}/${n}/epoch-${epoch}`).shuffle(all)
        for (let at = 0; at < order.length; at += size) {
          const mini = order.slice(at, at + size)
          const observations = rowsOf(acted.observations, features, mini)
          const actions = mini.map((i) => acted.actions[i]!)
          const of = (numbers: Float64Array) => rowsOf(numbers, 1, mini)
          const log = logSoftmaxRows(policy.forward(observations, { retain: true }), width)
          const policyLoss = ppo(
            Float64Array.from(actions, (action, i) => log[i * width + action]!),
            of(acted.logps),
            of(wanted),
            { clipRange: control.cliprange }
          )
          policy.backward(toLogits(policyLoss.gradient, log, actions))
          loss = policyLoss.loss
          policy.step(update)
          if (control.baseline === "none") continue
          const error = valueLoss(value.forward(observations, { retain: true }), of(values), of(returns), {
            clipRange: Infinity
          })
          value.backward(error.gradient)
          loss += error.loss
          value.step(update)
        }
      }
      return { loss, meanReturn: acted.meanReturn, steps: all.length }
    }
  }
}
