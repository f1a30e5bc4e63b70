import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"

/** How KL was measured, and what came out: nats. */
export interface KlMeasured {
  /** Mean of KL(policy‖initial) over sequences. */
  readonly mean: number
  readonly standardError: number
  /** The same sum over the number of tokens. */
  readonly perToken: number
  readonly samples: number
}

/**
 * Measures KL(policy‖initial) by k1 on fresh completions of the policy at temperature 1, one a prompt, cycling through
 * `prompts`; unbiased, with the standard error across sequences. Completions are cut at `maxNewTokens`, so this is the KL of
 * completions up to that length.
 */
export const measureKl = (policy: Policy, initial: Policy, prompts: ReadonlyArray<Int32Array>, options: {
  readonly samples: number
  readonly maxNewTokens: number
  readonly stop: ReadonlyArray<number>
  /** Seeds of the samples are `${seed}/${i}`. */
  readonly seed: string
}): KlMeasured => {
  const asked = Array.from({ length: options.samples }, (_, i) => prompts[i % prompts.length]!)
  const sampling: Sampling = { ...options, temperature: 1, topK: 0, topP: 1 }
  const sampled = policy.sample(asked, sampling, asked.map((_, i) => `${options.seed}/${i}`))
  const rows = sampled.map(({ completion }, i): Row => ({ prompt: asked[i]!, completion }))
  const { logps, offsets } = policy.logprobs(rows)
  const measured = kl(logps, initial.logprobs(rows).logps, offsets, "k1")
  return {
    mean: measured.mean,
    standardError: measured.standardError,
    perToken: measured.meanPerToken,
    samples: rows.length
  }
}
