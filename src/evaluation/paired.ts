/** Two models on the same prompts. */
import { incompleteBeta } from "../ledger/incompleteBeta.ts"
import { type Interval, level } from "../ledger/interval.ts"
import { stream } from "../sampling/random.ts"

/** Draws of a bootstrap: it takes fewer resamples of many prompts, so that it ends within about a second. */
const draws = 20_000_000

/** Resamples of `n` numbers. */
export const resamplesOf = (n: number): number => Math.max(1000, Math.min(10_000, Math.floor(draws / n)))

/**
 * The percentile bootstrap interval of a mean of independent numbers (Efron 1979), here of a paired difference for each prompt: prompts
 * are drawn with putting back. It covers a little less often than its level for a few dozen numbers
 * (`property-tests/evaluation/paired.test.ts`). The same seed gives the same interval; null for fewer than two numbers.
 */
export const bootstrap = (
  numbers: ReadonlyArray<number>,
  seed: string,
  resamples = resamplesOf(numbers.length)
): Interval | null => {
  const n = numbers.length
  if (n < 2) return null
  const random = stream(seed)
  const means = new Float64Array(resamples)
  for (let i = 0; i < means.length; i++) {
    let sum = 0
    for (let j = 0; j < n; j++) sum += numbers[Math.floor(random.next() * n)]!
    means[i] = sum / n
  }
  means.sort()
  const at = (share: number): number => means[Math.min(means.length - 1, Math.floor(share * means.length))]!
  return { low: at((1 - level) / 2), high: at((1 + level) / 2) }
}

export interface McNemar {
  /** Prompts that only the second model passed, and that only the first passed. */
  readonly gained: number
  readonly lost: number
  /** Exact, two-sided: how often a fair coin falls as unevenly as gained and lost. */
  readonly p: number
}

/** McNemar's exact test of two models that passed (1) or not (0) each prompt (McNemar 1947): prompts on which they agree say nothing. */
export const mcNemar = (first: ReadonlyArray<number>, second: ReadonlyArray<number>): McNemar => {
  let [gained, lost] = [0, 0]
  first.forEach((a, i) => {
    if (second[i]! > a) gained++
    if (second[i]! < a) lost++
  })
  const [n, less] = [gained + lost, Math.min(gained, lost)]
  // P(X ≤ less), X of n fair coins, is I_½(n − less, less + 1).
  return { gained, lost, p: n === 0 ? 1 : Math.min(1, 2 * incompleteBeta(0.5, n - less, less + 1)) }
}
