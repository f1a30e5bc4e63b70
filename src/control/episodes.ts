import { draw } from "../sampling/draw.ts"
import { stream } from "../sampling/random.ts"
import type { Environment } from "./environment.ts"
import type { Network } from "./network.ts"

/** Episodes in sequence; episode i owns the steps `offsets[i] … offsets[i + 1]`. */
export interface Episodes {
  readonly offsets: Int32Array
  /** The policy's observation before each step, `features` numbers each. */
  readonly observations: Float64Array
  readonly actions: Int32Array
  /** log π(action | state) of the policy that acted. */
  readonly logps: Float64Array
  readonly rewards: Float64Array
  /** The last observation of each episode that was cut off at the horizon; null for an episode that ended. */
  readonly cutOff: ReadonlyArray<ReadonlyArray<number> | null>
  /** Mean undiscounted return. */
  readonly meanReturn: number
}

/** log softmax of each row of `logits`, in place of them. */
export const logSoftmaxRows = (logits: Float64Array, width: number): Float64Array => {
  for (let at = 0; at < logits.length; at += width) {
    const row = logits.subarray(at, at + width)
    const most = Math.max(...row)
    const log = most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0))
    row.forEach((x, i) => {
      row[i] = x - log
    })
  }
  return logits
}

/** Acts in the environment, an episode for each seed; all randomness of an episode comes from its seed. */
export const episodes = <S>(environment: Environment<S>, policy: Network, seeds: ReadonlyArray<string>): Episodes => {
  const { actions: width, setting: { horizon } } = environment
  const offsets = new Int32Array(seeds.length + 1)
  const observations: Array<number> = []
  const actions: Array<number> = []
  const logps: Array<number> = []
  const rewards: Array<number> = []
  const cutOff = seeds.map((seed, episode) => {
    const random = stream(seed)
    let state = environment.start(random)
    for (let t = 0; t < horizon; t++) {
      const seen = environment.observe(state)
      const log = logSoftmaxRows(policy.forward(Float64Array.from(seen)), width)
      const action = draw(log.map(Math.exp), random.next())
      const next = environment.step(state, action, random)
      observations.push(...seen)
      actions.push(action)
      logps.push(log[action]!)
      rewards.push(next.reward)
      state = next.state
      offsets[episode + 1] = actions.length
      if (next.terminated) return null
    }
    return environment.observe(state)
  })
  return {
    offsets,
    observations: Float64Array.from(observations),
    actions: Int32Array.from(actions),
    logps: Float64Array.from(logps),
    rewards: Float64Array.from(rewards),
    cutOff,
    meanReturn: rewards.reduce((sum, r) => sum + r, 0) / seeds.length
  }
}
