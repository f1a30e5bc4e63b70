/**
 * The test of a KL cap: whether the mean, the 95th percentile and the maximum over prompts are within their caps, and when a measurement
 * has enough samples to tell. Until then each block doubles the number of samples, up to a stated maximum.
 *
 * A bet against "the KL is `cap` or more" multiplies its stake by 1 + λ(cap − x) at each sample x. If that is so, the stake does not grow on
 * average, and with any probability above `risk` it never reaches 1 / `risk` (Ville 1939): when it does, the KL is within the cap, at whichever
 * sample that is (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86(1), §4). The stake
 * is spread over bets λ = 1 / (k · cap) for each k of `ranges`, so its growth is close to the best of them. Prompts that are asked in turn
 * change nothing after whole rounds: a product of means is at most the power of their mean.
 *
 * No test can know of completions that no sample met: a bet counts a completion as at most k + 1 caps away (9 caps of the mean).
 */
import type { KlCap, Statistic } from "../../dsl/KlCap.ts"
import { nats } from "../../dsl/KlCap.ts"
import { byPrompt, rank95 } from "./measure.ts"

export interface Exactness {
  /** The standard error that is small enough, as a share of the cap. */
  readonly error: number
  /** The maximum number of samples. */
  readonly most: number
}

/** How often a policy beyond its cap is called within it, at most, by one measurement. */
export const risk = 0.01

const ranges = [8, 16, 32, 64]

/** Of one prompt, whose cap is above that of the mean. */
const ofPrompt = ranges.map((range) => range / 8)

/** `undecided`: the samples do not tell. A policy goes on only if it is `within`. */
export type Verdict = "within" | "over" | "undecided"

/** The stake of 1 after bets that the mean of the samples lies below `cap` (side 1) or above it (−1). */
const wealth = (samples: ReadonlyArray<number>, cap: number, side: 1 | -1, over: ReadonlyArray<number>): number =>
  over.reduce((sum, range) => {
    const growth = samples.reduce((sum, x) => sum + Math.log(Math.max(0, 1 + side * (1 - x / cap) / range)), 0)
    return sum + Math.exp(growth) / over.length
  }, 0)

/** On which side of `cap` (nats) the mean of the samples is; none of them is below 0. */
export const verdictOf = (samples: ReadonlyArray<number>, cap: number, level = risk, over = ranges): Verdict => {
  if (wealth(samples, cap, 1, over) >= 1 / level) return "within"
  return wealth(samples, cap, -1, over) >= 1 / level ? "over" : "undecided"
}

/**
 * On which side of `cap` the `rank`-th smallest of the prompts' means is. If it is above, so are at least `count` = prompts − rank + 1 of
 * them, and one is called within: a risk of `risk` / `count` each (of the maximum, the whole) makes `risk` at most, by Markov's inequality.
 * The mean of all is then above cap · count / prompts, too, which few samples may tell; each of the two ways has half of the risk.
 */
export const verdictOfRank = (prompts: ReadonlyArray<ReadonlyArray<number>>, rank: number, cap: number): Verdict => {
  const count = prompts.length - rank + 1
  if (verdictOf(prompts.flat(), cap * count / prompts.length, risk / 2) === "within") return "within"
  const verdicts = prompts.map((samples) => verdictOf(samples, cap, risk / 2 / count, ofPrompt))
  if (verdicts.filter((one) => one === "within").length >= rank) return "within"
  return verdicts.filter((one) => one === "over").length >= count ? "over" : "undecided"
}

/** The verdict on each statistic with a cap. */
export const verdicts = (
  { prompts, sequences }: { readonly sequences: ReadonlyArray<number>; readonly prompts: number },
  cap: Omit<KlCap, "from">
): Readonly<Partial<Record<Statistic, Verdict>>> => {
  const [mean, p95, max] = [nats(cap, "mean")!, nats(cap, "p95"), nats(cap, "max")]
  const each = (p95 ?? max) === undefined ? [] : byPrompt(sequences, prompts)
  return {
    mean: verdictOf(sequences, mean),
    ...(p95 === undefined ? {} : { p95: verdictOfRank(each, rank95(prompts), p95) }),
    ...(max === undefined ? {} : { max: verdictOfRank(each, prompts, max) })
  }
}

/** The least of all caps (nats) that are told to be kept, to six digits; null where none is. `at` is one that should be kept exactly. */
const leastCap = (within: (cap: number) => boolean, mean: number, at: number | undefined): number | null => {
  if (mean === 0) return within(1) ? 0 : null
  let [low, high] = [mean, 2 * mean]
  while (!within(high)) {
    if (high > 1e12 * mean) return null
    ;[low, high] = [high, 2 * high]
  }
  while (high - low > 1e-6 * high) {
    const middle = (low + high) / 2
    if (within(middle)) high = middle
    else low = middle
  }
  return at !== undefined && high > at && within(at) ? at : high
}

/** The least caps of a measurement: a bet gains more the larger its cap is, so it is within all that are larger. */
export const leastCaps = (
  { mean, prompts, sequences }: {
    readonly mean: number
    readonly prompts: number
    readonly sequences: ReadonlyArray<number>
  },
  cap: Omit<KlCap, "from">
): Readonly<Record<Statistic, number | null>> => {
  const [p95, max] = [nats(cap, "p95"), nats(cap, "max")]
  const each = (p95 ?? max) === undefined ? [] : byPrompt(sequences, prompts)
  const ofRank = (rank: number, at: number | undefined) =>
    at === undefined ? null : leastCap((cap) => verdictOfRank(each, rank, cap) === "within", mean, at)
  return {
    mean: leastCap((cap) => verdictOf(sequences, cap) === "within", mean, nats(cap, "mean")),
    p95: ofRank(rank95(prompts), p95),
    max: ofRank(prompts, max)
  }
}

/** Standard errors between mean and cap from which the error bar no longer matters. */
export const clear = 6

/**
 * Whether the error bar of the mean is small enough: at most `error` · cap, or `clear` times below its distance from the cap. A rule that
 * looks at the mean biases it: a mean that is far off by chance ends the sampling. At `clear` = 6 intervals still cover at their rate; at 4,
 * 95 % intervals covered 92.4 % (`property-tests/ledger/sequential.test.ts`).
 */
export const precise = (
  { mean, standardError }: { readonly mean: number; readonly standardError: number },
  cap: number,
  error: number
): boolean => standardError <= error * cap || Math.abs(mean - cap) >= clear * standardError

/** Whether to stop: one statistic is over its cap, or all are within and the mean is precise, or there are `most` samples. */
export const enoughFor = (
  measured: {
    readonly mean: number
    readonly standardError: number
    readonly samples: number
    readonly prompts: number
    readonly sequences: ReadonlyArray<number>
  },
  cap: Omit<KlCap, "from">,
  { error, most }: Exactness
): boolean => {
  if (measured.samples >= most) return true
  if (!precise(measured, nats(cap, "mean")!, error)) return false
  const found = Object.values(verdicts(measured, cap))
  return found.includes("over") || !found.includes("undecided")
}
