import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"

/** How KL was measured, and what came out: nats. */
export interface KlMeasured {
  /** Mean of KL(policy‖other) over sequences. */
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
  sequences: ArrayLike<number>,
  prompts: number
): { readonly p95: number | null; readonly max: number | null } => {
  if (prompts === 0 || Math.floor(sequences.length / prompts) < samplesPerPrompt) return { p95: null, max: null }
  const [sums, counts] = [new Float64Array(prompts), new Float64Array(prompts)]
  for (let i = 0; i < sequences.length; i++) {
    sums[i % prompts]! += sequences[i]!
    counts[i % prompts]! += 1
  }
  const means = sums.map((sum, i) => sum / counts[i]!).sort()
  return { p95: means[Math.ceil(0.95 * prompts) - 1]!, max: means[prompts - 1]! }
}

export interface Measuring {
  /** Completions of a block. */
  readonly samples: number
  readonly maxNewTokens: number
  readonly stop: ReadonlyArray<number>
  /** Seeds of the samples are `${seed}/${i}`. */
  readonly seed: string
  /** Whether the blocks so far are enough; one is, when left out. */
  readonly enough?: (measured: ReadonlyArray<KlMeasured>) => boolean
}

const summary = (sequences: ReadonlyArray<number>, tokens: number, prompts: number): KlMeasured => {
  const n = sequences.length
  const total = sequences.reduce((sum, x) => sum + x, 0)
  const mean = total / n
  const variance = sequences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1)
  const asked = Math.min(prompts, n)
  return {
    mean,
    standardError: n < 2 ? NaN : Math.sqrt(variance / n),
    perToken: tokens === 0 ? 0 : total / tokens,
    samples: n,
    prompts: asked,
    ...overPrompts(sequences, asked)
  }
}

/**
 * Measures KL(policy‖other) from each of `others` by k1, on the same fresh completions of the policy at temperature 1, one a prompt, cycling
 * through `prompts`; with the standard error across sequences. Completions are cut at `maxNewTokens`, so this is the KL of
 * completions up to that length. Blocks of samples are drawn until `enough`, twice as many each time.
 */
export const measureKls = (
  policy: Policy,
  others: ReadonlyArray<Policy>,
  prompts: ReadonlyArray<Int32Array>,
  { enough = () => true, samples, seed, ...options }: Measuring
): ReadonlyArray<KlMeasured> => {
  const sampling: Sampling = { ...options, temperature: 1, topK: 0, topP: 1 }
  const sequences: ReadonlyArray<Array<number>> = others.map(() => [])
  let [drawn, tokens] = [0, 0]
  const draw = (): void => {
    const asked = Array.from({ length: samples }, (_, i) => prompts[(drawn + i) % prompts.length]!)
    const sampled = policy.sample(asked, sampling, asked.map((_, i) => `${seed}/${drawn + i}`))
    const rows = sampled.map(({ completion }, i): Row => ({ prompt: asked[i]!, completion }))
    const { logps } = policy.logprobs(rows)
    const offsets = offsetsOf(rows)
    others.forEach((other, k) => sequences[k]!.push(...kl(logps, other.logprobs(rows).logps, offsets, "k1").sequences))
    drawn += samples
    tokens += logps.length
  }
  for (let blocks = 1;; blocks *= 2) {
    // In blocks of one size: what a measurement holds in memory does not grow with it.
    for (let block = drawn / samples; block < blocks; block++) draw()
    const measured = sequences.map((of) => summary(of, tokens, prompts.length))
    if (enough(measured)) return measured
  }
}

/** From one other model. */
export const measureKl = (
  policy: Policy,
  other: Policy,
  prompts: ReadonlyArray<Int32Array>,
  options: Measuring
): KlMeasured => measureKls(policy, [other], prompts, options)[0]!
