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
  /** Prompts asked. */
  readonly prompts: number
  /**
   * The 95th percentile (nearest rank) and the largest, over prompts, of the mean of that prompt's samples, nats per sequence. Null
   * when a prompt had fewer than `samplesPerPrompt` samples. These are percentiles of noisy means: the noise of each prompt spreads
   * them, so they lie above the percentiles of the true KLs on average.
   */
  readonly p95: number | null
  readonly max: number | null
}

/** The fewest samples of every prompt from which p95 and max over prompts are told: one signed k1 says nothing about its prompt. */
export const samplesPerPrompt = 4

/** p95 and max over prompts of the mean of each; sample `i` is of prompt `i % prompts`. */
export const overPrompts = (
  sequences: Float64Array,
  prompts: number
): { readonly p95: number | null; readonly max: number | null } => {
  if (prompts === 0 || Math.floor(sequences.length / prompts) < samplesPerPrompt) return { p95: null, max: null }
  const [sums, counts] = [new Float64Array(prompts), new Float64Array(prompts)]
  sequences.forEach((x, i) => {
    sums[i % prompts]! += x
    counts[i % prompts]! += 1
  })
  const means = sums.map((sum, i) => sum / counts[i]!).sort()
  return { p95: means[Math.ceil(0.95 * prompts) - 1]!, max: means[prompts - 1]! }
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
  const own = Math.min(prompts.length, rows.length)
  return {
    mean: measured.mean,
    standardError: measured.standardError,
    perToken: measured.meanPerToken,
    samples: rows.length,
    prompts: own,
    ...overPrompts(measured.sequences, own)
  }
}
