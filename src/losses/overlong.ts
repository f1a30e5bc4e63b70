/**
 * Soft overlong punishment, added to the score of a completion of `length` tokens (DAPO, arXiv 2503.14476, eq. 13):
 *
 *     0                               length ≤ max − cache
 *     (max − cache − length) / cache  up to max
 *     −1                              beyond
 *
 * `cache` = share · max, tokens. In [−1, 0], continuous, never rising with the length. Where sampling itself ends at
 * `max` tokens, a completion that was cut off there gets −1.
 */
export const overlongPenalty = (length: number, max: number, share: number): number => {
  const cache = share * max
  if (length <= max - cache) return 0
  return length > max ? -1 : (max - cache - length) / cache
}
