import { textsOf } from "../data/encode.ts"
import { offsetsOf, type Policy, type Row, type Sampling, type Scorer } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"
import { afterLast } from "../losses/ragged.ts"

/** Observations of a policy: its completions, and a number for each prompt. */
export interface Observed {
  readonly gold: Float64Array
  readonly proxy: Float64Array | null
  /** KL(policy‖initial) by k1, nats per sequence. */
  readonly kl: Float64Array | null
  /** Tokens, the end included. */
  readonly length: Float64Array
  /** 1 where the completion ended by itself, else 0. */
  readonly finished: Float64Array
  readonly texts: ReadonlyArray<string>
  readonly tokens: number
}

/**
 * Lets a policy answer each prompt once and measures its completions, without training. KL needs samples of the policy itself: it is
 * left out at another temperature than 1. The seeds are the caller's: equal seeds for two policies make a paired comparison.
 */
export const observe = (policy: Policy, of: {
  readonly prompts: ReadonlyArray<Int32Array>
  readonly sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">
  readonly seeds: ReadonlyArray<string>
  readonly decode: (ids: Int32Array) => string
  readonly gold: (text: string, prompt: number) => number
  readonly initial: Policy | undefined
  readonly reward: Scorer | undefined
}): Observed => {
  const { initial, prompts, reward, sampling } = of
  const sampled = policy.sample(prompts, { ...sampling, topK: 0, topP: 1 }, of.seeds)
  const rows = sampled.map(({ completion }, i): Row => ({ prompt: prompts[i]!, completion }))
  const texts = textsOf(of, rows)
  const { logps, offsets } = policy.logprobs(rows)
  return {
    gold: Float64Array.from(texts, of.gold),
    proxy: reward === undefined ? null : afterLast(reward.values(rows).values, offsetsOf(rows)),
    kl: initial === undefined || sampling.temperature !== 1
      ? null
      : kl(logps, initial.logprobs(rows).logps, offsets, "k1").sequences,
    length: Float64Array.from(rows, ({ completion }) => completion.length),
    finished: Float64Array.from(sampled, ({ finished }) => finished ? 1 : 0),
    texts,
    tokens: logps.length
  }
}
