/**
 * Decides when a measurement of KL has enough samples: when the mean, the 95th percentile and the maximum over prompts are each clearly on
 * one side of their caps. Until then each block doubles the number of samples, up to a stated maximum.
 */
import { type KlCap, nats } from "../../dsl/KlCap.ts"
import { rank95 } from "./measure.ts"

export interface Exactness {
  /** The standard error that is small enough, as a share of the cap. */
  readonly error: number
  /** The maximum number of samples. */
  readonly most: number
}

/** Standard errors between mean and cap from which the side is clear, whatever the error bar. */
export const clear = 6

interface Mean {
  readonly mean: number
  readonly standardError: number
}

/**
 * Decides whether a mean is clearly on one side of `cap` (nats): yes if its error bar is at most `error` · cap, or if it lies `clear` error
 * bars away. A rule that looks at the mean biases it: a mean that is far off by chance ends the sampling. At `clear` = 6 the intervals
 * still cover at their rate; at 4, 95 % intervals covered 92.4 % (`property-tests/ledger/sequential.test.ts`).
 */
export const told = ({ mean, standardError }: Mean, cap: number, error: number): boolean =>
  standardError <= error * cap || Math.abs(mean - cap) >= clear * standardError

/**
 * Decides whether the `rank`-th smallest mean is clearly on one side of the cap: yes once `rank` means are clearly below it, or once too
 * many are clearly above it. The other prompts may stay undecided.
 */
export const toldRank = (means: ReadonlyArray<Mean>, rank: number, cap: number, error: number): boolean => {
  const sure = means.filter((one) => told(one, cap, error))
  const within = sure.filter(({ mean }) => mean <= cap).length
  return within >= rank || sure.length - within > means.length - rank
}

/** Whether to stop: each statistic with a cap is clearly on one side of it, or there are `most` samples. */
export const preciseEnough = (
  { byPrompt, samples, ...mean }: Mean & { readonly samples: number; readonly byPrompt: () => ReadonlyArray<Mean> },
  cap: Omit<KlCap, "from">,
  { error, most }: Exactness
): boolean => {
  if (samples >= most) return true
  if (!told(mean, nats(cap, "mean")!, error)) return false
  const [p95, max] = [nats(cap, "p95"), nats(cap, "max")]
  if ((p95 ?? max) === undefined) return true
  const prompts = byPrompt()
  return (p95 === undefined || toldRank(prompts, rank95(prompts.length), p95, error)) &&
    (max === undefined || toldRank(prompts, prompts.length, max, error))
}
