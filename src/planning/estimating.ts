/**
 * What a few rows or steps say of all of them: a systematic sample, and the regression estimator of a total by something known of every
 * step (Cochran, *Sampling Techniques*, 3rd ed. 1977, chapters 7 and 8).
 */

/** A mean with the variance of what it estimates. */
export interface Estimated {
  readonly mean: number
  readonly variance: number
}

/**
 * Values that are looked at: at least `least`, and three times as many while their mean has a relative standard error above `error`, but no
 * more than `count`, and none that would bring their sum above `sum`.
 */
export interface Looked {
  readonly least: number
  readonly error: number
  readonly count: number
  readonly sum: number
}

export interface Surveyed extends Estimated {
  /** Values that were looked at. */
  readonly looked: number
}

/** Variance of the mean of a systematic sample, every `stride`th, by the differences of neighbours (Cochran 8.11). */
const ofMean = (sample: ReadonlyArray<number>, stride: number): number => {
  let jumps = 0
  for (let i = 1; i < sample.length; i++) jumps += (sample[i]! - sample[i - 1]!) ** 2
  return stride === 1 ? 0 : jumps / (2 * sample.length * (sample.length - 1)) * (1 - 1 / stride)
}

const sumOf = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)

/**
 * Mean of `value(0)` … `value(count − 1)` by some of them, evenly spread: parts that stand one after the other have their shares. Every
 * third, ninth, …, so that what several surveys have in common is the same, and groups of 2, 4 or 8 are seen at all their places. Where
 * `drawn` of all are what is asked about, the variance is that of drawing them too.
 *
 * A value may be dear, and something that it is about in proportion to cheap: that, of more of them, times their ratio (Cochran 6.2).
 */
export const surveyed = (
  count: number,
  looked: Looked,
  drawn: number,
  value: (i: number) => number,
  cheap?: (i: number) => number
): Surveyed => {
  const known = cheap === undefined ? null : surveyed(count, { ...looked, sum: Infinity }, count, cheap)
  for (
    let stride = 3 ** Math.floor(Math.log(Math.max(1, count / looked.least)) / Math.log(3));;
    stride = Math.round(stride / 3)
  ) {
    const size = Math.ceil(count / stride)
    const values = Array.from({ length: size }, (_, i) => value(i * stride))
    const own = sumOf(values) / size
    const sizes = values.map((_, i) => cheap?.(i * stride) ?? 0)
    // Of nothing, nothing is in proportion to it.
    const ratio = own * size / sumOf(sizes)
    const related = known !== null && Number.isFinite(ratio)
    const mean = related ? ratio * known.mean : own
    const looking = ofMean(related ? values.map((x, i) => x - ratio * sizes[i]!) : values, stride)
    const more = 3 * size
    if (Math.sqrt(looking) > looked.error * mean && more <= looked.count && more * mean <= looked.sum) continue
    const spread = size < 2 ? 0 : values.reduce((sum, x) => sum + (x - own) ** 2, 0) / (size - 1)
    const drawing = spread / drawn * Math.max(0, 1 - drawn / count)
    return { mean, variance: looking + (related ? ratio ** 2 * known.variance : 0) + drawing, looked: size }
  }
}

/** Steps whose tokens differ by no more, relative to the most, say nothing of how steps differ. */
const alike = 0.02

/**
 * How much of each of a few steps makes one of so many tokens: what lies on a line over their tokens is met, the line being nearest in
 * least squares. They sum to 1; where all have about as many tokens, what is asked about is in proportion to them.
 */
export const sharesAt = (tokens: ReadonlyArray<number>, asked: number): ReadonlyArray<number> => {
  const middle = tokens.reduce((sum, x) => sum + x, 0) / tokens.length
  const spread = tokens.reduce((sum, x) => sum + (x - middle) ** 2, 0)
  return Math.max(...tokens) - Math.min(...tokens) <= alike * Math.max(...tokens)
    ? tokens.map((x) => x === 0 ? 1 / tokens.length : asked / (x * tokens.length))
    : tokens.map((x) => 1 / tokens.length + (x - middle) * (asked - middle) / spread)
}

/** Variance of what `sharesAt` makes of `values`, one for each step: of the line, and of the tokens that are asked about. */
export const varianceAt = (
  tokens: ReadonlyArray<number>,
  values: ReadonlyArray<number>,
  { mean: asked, variance }: Estimated
): number => {
  const at = (x: number): number => sharesAt(tokens, x).reduce((sum, share, i) => sum + share * values[i]!, 0)
  const slope = at(asked + 1) - at(asked)
  const off = tokens.reduce((sum, x, i) => sum + (values[i]! - at(x)) ** 2, 0)
  const shares = sharesAt(tokens, asked).reduce((sum, share) => sum + share ** 2, 0)
  return slope ** 2 * variance + (tokens.length > 2 ? off / (tokens.length - 2) * shares : 0)
}
