/**
 * Shifts and scales numbers to mean 0 and variance 1.
 *
 *     x′ = (x − mean) / √(var + 10⁻⁸)   (+ mean when the mean is to be kept)        var = Σ(x − mean)² / (n − 1)
 *
 * TRL's `masked_whiten` (from lm-human-preferences): advantages are shifted, rewards keep their mean (`shiftMean: false`).
 * The variance is over all tokens of the batch, not within a row.
 *
 * Deviations from TRL: (1) a single number has variance 0 here and is an error there.
 */
export const whiten = (
  numbers: Float64Array,
  { shiftMean = true }: { readonly shiftMean?: boolean } = {}
): Float64Array => {
  const n = numbers.length
  let mean = 0
  for (let i = 0; i < n; i++) mean += numbers[i]! / n
  let squares = 0
  for (let i = 0; i < n; i++) squares += (numbers[i]! - mean) ** 2
  const scale = 1 / Math.sqrt((n > 1 ? squares / (n - 1) : 0) + 1e-8)
  const whitened = new Float64Array(n)
  for (let i = 0; i < n; i++) whitened[i] = (numbers[i]! - mean) * scale + (shiftMean ? 0 : mean)
  return whitened
}
