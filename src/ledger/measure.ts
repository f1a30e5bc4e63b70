import * as Effect from "effect/Effect"
import { ownCount, type Policy, type Row, type Sampled, type Sampling } from "../engine/engine.ts"
import { klBetween } from "../losses/kl.ts"
import { sumRows } from "../losses/ragged.ts"
import { stream } from "../sampling/random.ts"

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

/** With the KL of each completion, nats. */
export interface KlSamples extends KlMeasured {
  readonly sequences: ReadonlyArray<number>
}

/** The least number of samples of a measurement: fewer tell nothing of any cap (`sequential.ts`). */
export const leastSamples = 64

/** The least number of samples of every prompt for p95 and max over prompts. */
export const samplesPerPrompt = 4

/** The samples of a block where `asked` are asked for: `leastSamples` or more, and as many of each prompt, unless prompts are more. */
export const blockOf = (asked: number, prompts: number): number => {
  const samples = Math.max(asked, leastSamples)
  return prompts > samples ? samples : Math.ceil(samples / prompts) * prompts
}

/** A prompt's own mean, nats per sequence. */
export interface OfPrompt {
  readonly mean: number
  readonly standardError: number
}

/** The samples of each prompt; sample `i` is of prompt `i % prompts`. */
export const byPrompt = (sequences: ArrayLike<number>, prompts: number): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: prompts }, (_, prompt) =>
    Array.from(
      { length: Math.ceil((sequences.length - prompt) / prompts) },
      (_, i) => sequences[prompt + i * prompts]!
    ))

/**
 * The mean of each prompt's samples; each has two or more. A prompt counts as no less spread than prompts are on average: a few samples
 * may agree by chance.
 */
export const meansByPrompt = (sequences: ArrayLike<number>, prompts: number): ReadonlyArray<OfPrompt> => {
  const each = byPrompt(sequences, prompts).map((own) => {
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
  /** Completions of a block, before `blockOf`. */
  readonly samples: number
  readonly maxNewTokens: number
  readonly stop: ReadonlyArray<number>
  /** Seeds of the samples are `${seed}/${i}`. */
  readonly seed: string
  /** Whether the blocks so far are enough, from each of the other models; by default a block is enough. */
  readonly enough?: (measured: ReadonlyArray<KlSamples>) => boolean
}

/** What the policy wrote, and its last message. */
interface Answer {
  readonly row: Row
  readonly last: Sampled
}

/** An answer to each of some prompts, by their places among the prompts. */
export type Ask<A extends Answer, E = never> = (
  prompts: ReadonlyArray<number>,
  sampling: Sampling,
  seeds: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<A>, E>

/** A block of samples. */
export interface SampledBlock<A extends Answer> {
  readonly answers: ReadonlyArray<A>
  /** The prompt of each, by its place among the prompts. */
  readonly asked: ReadonlyArray<number>
  readonly seeds: ReadonlyArray<string>
}

const summary = (sequences: ReadonlyArray<number>, lengths: ReadonlyArray<number>, prompts: number): KlMeasured => {
  const n = sequences.length
  const total = sequences.reduce((sum, x) => sum + x, 0)
  const tokens = lengths.reduce((sum, x) => sum + x, 0)
  const [mean, perToken] = [total / n, tokens === 0 ? 0 : total / tokens]
  const variance = sequences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1)
  const residual = sequences.reduce((sum, x, i) => sum + (x - perToken * lengths[i]!) ** 2, 0) / (n - 1)
  // Samples may be alike by chance: one more completion as far away as the farthest would move the sum by as much.
  const farthest = sequences.reduce((most, x) => Math.max(most, x), 0)
  return {
    mean,
    standardError: Math.max(Math.sqrt(variance / n), farthest / n),
    perToken,
    perTokenError: tokens === 0 ? 0 : Math.max(Math.sqrt(residual * n), farthest) / tokens,
    samples: n,
    prompts,
    ...overPrompts(sequences, prompts)
  }
}

/**
 * Measures KL(policy‖other) from each of `others` on the same fresh completions y of the policy at temperature 1: the mean of
 *
 *     Σ_t KL(π(·|x, y_<t) ‖ π'(·|x, y_<t)),    each over the whole vocabulary.
 *
 * This is k1 with each token's log-ratio replaced by its mean given the tokens before (Rao and Blackwell; Amini, Vieira and Cotterell
 * 2025, arXiv 2504.10637): the same mean, less noise, never negative, and 0 only where the two agree wherever a sample went. It costs the
 * logits of both models at every token of the samples, where k1 costs the sampled token's.
 *
 * `ask` is how the policy is asked: in an environment, y is all that it wrote, and what was answered is given.
 *
 * Every prompt is asked equally often. Prompts that are more than a block's samples are drawn with replacement. The standard error is that
 * of samples whose prompts were drawn anew: of a mean over these very prompts it is no less. Completions are cut at `maxNewTokens`, so this
 * is the KL of completions up to that length. Blocks of samples are drawn until `enough`, twice as many each time.
 */
export const measureKls = Effect.fnUntraced(function*<A extends Answer, E>(
  policy: Policy,
  others: ReadonlyArray<Policy>,
  { ask, count: prompts }: { readonly ask: Ask<A, E>; readonly count: number },
  { enough = () => true, samples: wanted, seed, ...options }: KlSampling
) {
  const sampling: Sampling = { ...options, temperature: 1, topK: 0, topP: 1 }
  const samples = blockOf(wanted, prompts)
  const each = samples >= prompts
  const random = stream(`${seed}/prompts`)
  const asked: Array<number> = []
  const sequences: ReadonlyArray<Array<number>> = others.map(() => [])
  const lengths: Array<number> = []
  let first: SampledBlock<A> | undefined
  const draw = Effect.fnUntraced(function*() {
    const drawn = asked.length
    const block = Array.from({ length: samples }, (_, i) => each ? (drawn + i) % prompts : random.int(prompts))
    asked.push(...block)
    const seeds = block.map((_, i) => `${seed}/${drawn + i}`)
    const answers = yield* ask(block, sampling, seeds)
    const rows = answers.map(({ row }) => row)
    first ??= { answers, asked: block, seeds }
    others.forEach((other, k) => {
      const { offsets, values } = policy.divergences(rows, other, klBetween)
      // Rounding alone is below 0.
      sequences[k]!.push(...sumRows(values, offsets).map((x) => Math.max(0, x)))
    })
    lengths.push(...rows.map(ownCount))
  })
  for (let blocks = 1;; blocks *= 2) {
    // In blocks of one size, so that the memory of a measurement does not grow with its samples.
    for (let block = asked.length / samples; block < blocks; block++) yield* draw()
    const count = each ? prompts : new Set(asked).size
    const measured = sequences.map((of): KlSamples => ({
      ...summary(of, lengths, count),
      ...(each ? {} : { p95: null, max: null }),
      sequences: of
    }))
    if (enough(measured)) return { measured, first: first! }
  }
})

/** From another model, on a completion of each prompt. */
export const measureKl = (
  policy: Policy,
  other: Policy,
  prompts: ReadonlyArray<Int32Array>,
  options: KlSampling
): KlMeasured => {
  const ask: Ask<Answer> = (asked, sampling, seeds) =>
    Effect.sync(() =>
      policy.sample(asked.map((i) => prompts[i]!), sampling, seeds).map((last, i) => ({
        row: { prompt: prompts[asked[i]!]!, completion: last.completion },
        last
      }))
    )
  const { measured } = Effect.runSync(measureKls(policy, [other], { ask, count: prompts.length }, options))
  const { sequences: _, ...one } = measured[0]!
  return one
}
