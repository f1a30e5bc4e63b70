/**
 * What a few rows or steps say of all of them: a systematic sample, and the regression estimator of a total by something known of every
 * step (Cochran, *Sampling Techniques*, 3rd ed. 1977, chapters 7 and 8).
 */

/** A mean with the variance of what it estimates. */
export interface Estimated {
  readonly mean: number
  readonly variance: number
}

/** Values that are looked at: at least `least`, and three times as many while their mean has a relative standard error above `error`. */
export interface Looked {
  readonly least: number
  readonly most: number
  readonly error: number
}

export interface Surveyed extends Estimated {
  /** Values that were looked at. */
  readonly looked: number
}

/**
 * Mean of `value(0)` … `value(count − 1)` by some of them, evenly spread: parts that stand one after the other have their shares. Every
 * third, ninth, …, so that what several surveys have in common is the same, and groups of 2, 4 or 8 are seen at all their places. The
 * variance is that of neighbours (Cochran 8.11), and, where `drawn` of all are what is asked about, that of drawing them.
 */
export const surveyed = (
  count: number,
  { error, least, most }: Looked,
  drawn: number,
  value: (i: number) => number
): Surveyed => {
  for (
    let stride = 3 ** Math.floor(Math.log(Math.max(1, count / least)) / Math.log(3));;
    stride = Math.round(stride / 3)
  ) {
    const size = Math.ceil(count / stride)
    const values = Array.from({ length: size }, (_, i) => value(i * stride))
    const mean = values.reduce((sum, x) => sum + x, 0) / size
    let [jumps, squares] = [0, 0]
    for (let i = 1; i < size; i++) jumps += (values[i]! - values[i - 1]!) ** 2
    for (const x of values) squares += (x - mean) ** 2
    const looking = stride === 1 ? 0 : jumps / (2 * size * (size - 1)) * (1 - 1 / stride)
    if (Math.sqrt(looking) > error * mean && 3 * size <= most) continue
    const drawing = size < 2 ? 0 : squares / (size - 1) / drawn * Math.max(0, 1 - drawn / count)
    return { mean, variance: looking + drawing, looked: size }
  }
}

/**
 * How much of each of a few steps makes one of so many tokens: what lies on a line over their tokens is met, the line being nearest in
 * least squares. They sum to 1; where all have as many tokens, what is asked about is in proportion to them.
 */
export const sharesAt = (tokens: ReadonlyArray<number>, asked: number): ReadonlyArray<number> => {
  const middle = tokens.reduce((sum, x) => sum + x, 0) / tokens.length
  const spread = tokens.reduce((sum, x) => sum + (x - middle) ** 2, 0)
  return spread === 0
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
