import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"

/** A measurement of KL, in nats. */
export interface KlMeasured {
  /** Mean of KL(policy‖other) over sequences. */
  readonly mean: number
  readonly standardError: number
  /** The same sum over the number of tokens: a ratio of means. */
  readonly perToken: number
  /** Its standard error, by the delta method. */
  readonly perTokenError: number
  readonly samples: number
  /** Prompts asked. */
  readonly prompts: number
  /**
   * The 95th percentile (nearest rank) and the largest, over prompts, of the mean of that prompt's samples, nats per sequence. Null
   * when a prompt had fewer than `samplesPerPrompt` samples. These are percentiles of noisy means. On average the largest mean lies above
   * the largest true KL, more so with more noise; the 95th percentile mostly does. With fewer than 20 prompts both are equal.
   */
  readonly p95: number | null
  readonly max: number | null
}

/** The least number of samples of every prompt for p95 and max over prompts: a single signed k1 has no information on its prompt. */
export const samplesPerPrompt = 4

/** A prompt's own mean, nats per sequence. */
export interface OfPrompt {
  readonly mean: number
  readonly standardError: number
}

/**
 * The mean of each prompt's samples; sample `i` is of prompt `i % prompts`, and each has two or more. A prompt counts as no less spread than
 * prompts are on average: a few samples may agree by chance.
 */
export const meansByPrompt = (sequences: ArrayLike<number>, prompts: number): ReadonlyArray<OfPrompt> => {
  const each = Array.from({ length: prompts }, (_, prompt) => {
    const own = Array.from(
      { length: Math.ceil((sequences.length - prompt) / prompts) },
      (_, i) => sequences[prompt + i * prompts]!
    )
    const mean = own.reduce((sum, x) => sum + x, 0) / own.length
    return { mean, count: own.length, squares: own.reduce((sum, x) => sum + (x - mean) ** 2, 0) }
  })
  const pooled = each.reduce((sum, { squares }) => sum + squares, 0) / (sequences.length - prompts)
  return each.map(({ count, mean, squares }) => ({
    mean,
    standardError: Math.sqrt(Math.max(pooled, squares / (count - 1)) / count)
  }))
}

/** Of `prompts` in order of their means, which is the 95th percentile: the nearest rank. */
export const rank95 = (prompts: number): number => Math.ceil(0.95 * prompts)

/** p95 and max over prompts of the mean of each. */
export const overPrompts = (
  sequences: ArrayLike<number>,
  prompts: number
): { readonly p95: number | null; readonly max: number | null } => {
  if (prompts === 0 || Math.floor(sequences.length / prompts) < samplesPerPrompt) return { p95: null, max: null }
  const means = Float64Array.from(meansByPrompt(sequences, prompts), ({ mean }) => mean).sort()
  return { p95: means[rank95(prompts) - 1]!, max: means[prompts - 1]! }
}

export interface KlSampling {
  /** Completions of a block. */
  readonly samples: number
  readonly maxNewTokens: number
  readonly stop: ReadonlyArray<number>
  /** Seeds of the samples are `${seed}/${i}`. */
  readonly seed: string
  /** Whether the blocks so far are enough, from each of the other models and for its prompts; by default a block is enough. */
  readonly enough?: (
    measured: ReadonlyArray<KlMeasured & { readonly byPrompt: () => ReadonlyArray<OfPrompt> }>
  ) => boolean
}

/** A block of samples. */
export interface SampledBlock {
  readonly rows: ReadonlyArray<Row>
  /** Which ended by themselves. */
  readonly finished: ReadonlyArray<boolean>
  /** Of the next-token distributions, nats, for each token. */
  readonly entropies: Float64Array
}

const summary = (sequences: ReadonlyArray<number>, lengths: ReadonlyArray<number>, prompts: number): KlMeasured => {
  const n = sequences.length
  const total = sequences.reduce((sum, x) => sum + x, 0)
  const tokens = lengths.reduce((sum, x) => sum + x, 0)
  const [mean, perToken] = [total / n, tokens === 0 ? 0 : total / tokens]
  const variance = sequences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1)
  const residual = sequences.reduce((sum, x, i) => sum + (x - perToken * lengths[i]!) ** 2, 0) / (n - 1)
  const asked = Math.min(prompts, n)
  return {
    mean,
    standardError: n < 2 ? NaN : Math.sqrt(variance / n),
    perToken,
    perTokenError: n < 2 ? NaN : tokens === 0 ? 0 : Math.sqrt(residual * n) / tokens,
    samples: n,
    prompts: asked,
    ...overPrompts(sequences, asked)
  }
}

/**
 * Measures KL(policy‖other) from each of `others` by k1, on the same fresh completions of the policy at temperature 1, one a prompt, cycling
 * through `prompts`; with the standard error across sequences, as if each were of a prompt drawn anew: of a mean over these very prompts
 * it is no less. Completions are cut at `maxNewTokens`, so this is the KL of completions up to that length. Blocks of samples are
 * drawn until `enough`, twice as many each time. k3 is as unbiased and less noisy, but its intervals cover less often (`interval.ts`).
 */
export const measureKls = (
  policy: Policy,
  others: ReadonlyArray<Policy>,
  prompts: ReadonlyArray<Int32Array>,
  { enough = () => true, samples, seed, ...options }: KlSampling
): { readonly measured: ReadonlyArray<KlMeasured>; readonly first: SampledBlock } => {
  const sampling: Sampling = { ...options, temperature: 1, topK: 0, topP: 1 }
  const sequences: ReadonlyArray<Array<number>> = others.map(() => [])
  const lengths: Array<number> = []
  let drawn = 0
  let first: SampledBlock | undefined
  const draw = (): void => {
    const asked = Array.from({ length: samples }, (_, i) => prompts[(drawn + i) % prompts.length]!)
    const sampled = policy.sample(asked, sampling, asked.map((_, i) => `${seed}/${drawn + i}`))
    const rows = sampled.map(({ completion }, i): Row => ({ prompt: asked[i]!, completion }))
    const { entropies, logps } = policy.logprobs(rows)
    first ??= { rows, entropies, finished: sampled.map(({ finished }) => finished) }
    const offsets = offsetsOf(rows)
    others.forEach((other, k) => sequences[k]!.push(...kl(logps, other.logprobs(rows).logps, offsets, "k1").sequences))
    drawn += samples
    lengths.push(...rows.map(({ completion }) => completion.length))
  }
  for (let blocks = 1;; blocks *= 2) {
    // In blocks of one size, so that the memory of a measurement does not grow with its samples.
    for (let block = drawn / samples; block < blocks; block++) draw()
    const measured = sequences.map((of) => summary(of, lengths, prompts.length))
    const asked = Math.min(prompts.length, drawn)
    const seen = measured.map((one, k) => ({ ...one, byPrompt: () => meansByPrompt(sequences[k]!, asked) }))
    if (enough(seen)) return { measured, first: first! }
  }
}

/** From another model. */
export const measureKl = (
  policy: Policy,
  other: Policy,
  prompts: ReadonlyArray<Int32Array>,
  options: KlSampling
): KlMeasured => measureKls(policy, [other], prompts, options).measured[0]!
