/**
 * How many samples a measurement of KL takes. After each block of samples the question is whether it can be told on which side of
 * their caps the mean, the 95th percentile and the largest over prompts lie; until then as many again are drawn as there are, up to a
 * stated most.
 */
import { rank95 } from "./measure.ts"

export interface Precision {
  /** The standard error that is small enough, as a share of the cap. */
  readonly error: number
  /** No more samples than these. */
  readonly most: number
}

/** Standard errors between mean and cap from which the side is clear, whatever the error bar. */
export const clear = 6

interface Mean {
  readonly mean: number
  readonly standardError: number
}

/**
 * Whether it can be told on which side of `cap` (nats) a mean lies: its error bar is at most `error` · cap, or it lies `clear` error bars away.
 * A rule that looks at the mean biases it: a mean that is far off by chance ends the sampling. At `clear` = 6 the intervals still cover at their rate; at 4 those of 95 % covered 92.4 %
 * (`property-tests/ledger/sequential.test.ts`).
 */
export const told = ({ mean, standardError }: Mean, cap: number, error: number): boolean =>
  standardError <= error * cap || Math.abs(mean - cap) >= clear * standardError

/**
 * The same of the `rank`-th smallest mean of several: `rank` of them are told to lie within the cap, or so many above it that fewer than
 * `rank` can be within. Prompts that decide nothing need not be told, and the largest is told when each is, or one is above.
 */
export const toldRank = (means: ReadonlyArray<Mean>, rank: number, cap: number, error: number): boolean => {
  const sure = means.filter((one) => told(one, cap, error))
  const within = sure.filter(({ mean }) => mean <= cap).length
  return within >= rank || sure.length - within > means.length - rank
}

/** Caps on the statistics of one measurement, nats per sequence. */
export interface CapsOn {
  readonly mean: number
  readonly p95?: number | undefined
  readonly max?: number | undefined
}

/** Whether to stop: of each statistic with a cap it is told on which side it lies, or there are `most` samples. */
export const enough = (
  { byPrompt, samples, ...mean }: Mean & { readonly samples: number; readonly byPrompt: () => ReadonlyArray<Mean> },
  cap: CapsOn,
  { error, most }: Precision
): boolean => {
  if (samples >= most) return true
  if (!told(mean, cap.mean, error)) return false
  if ((cap.p95 ?? cap.max) === undefined) return true
  const prompts = byPrompt()
  return (cap.p95 === undefined || toldRank(prompts, rank95(prompts.length), cap.p95, error)) &&
    (cap.max === undefined || toldRank(prompts, prompts.length, cap.max, error))
}
