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
 * Mean of `value(0)` … `value(count − 1)` by `most` of them, evenly spread: parts that stand one after the other have their shares. The
 * variance is that of neighbours (Cochran 8.11), and, where `drawn` of all are what is asked about, that of drawing them.
 */
export const surveyed = (count: number, most: number, drawn: number, value: (i: number) => number): Estimated => {
  const size = Math.min(count, most)
  const values = Array.from({ length: size }, (_, i) => value(Math.floor(i * count / size)))
  const mean = values.reduce((sum, x) => sum + x, 0) / size
  if (size < 2) return { mean, variance: 0 }
  let [jumps, squares] = [0, 0]
  for (let i = 0; i < size; i++) {
    squares += (values[i]! - mean) ** 2
    if (i > 0) jumps += (values[i]! - values[i - 1]!) ** 2
  }
  return {
    mean,
    variance: jumps / (2 * size * (size - 1)) * (1 - size / count) +
      squares / (size - 1) / drawn * Math.max(0, 1 - drawn / count)
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
