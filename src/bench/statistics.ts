/** A sample of timings in three numbers. All in the unit of the sample. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Median: the middle of the sorted sample, the mean of the two middle numbers of an even sample, NaN of an empty sample. */
export const median = (sample: ReadonlyArray<number>): number => {
  const sorted = [...sample].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Median with the least and the most: few rounds are run, and an outlier (another process) should be seen. */
export const spread = (sample: ReadonlyArray<number>): Spread => ({
  median: median(sample),
  min: Math.min(...sample),
  max: Math.max(...sample)
})

/** Median and range of f of each: a rate from a time turns them round. */
export const mapSpread = ({ max, median, min }: Spread, f: (x: number) => number): Spread => {
  const [a, b] = [f(min), f(max)]
  return { median: f(median), min: Math.min(a, b), max: Math.max(a, b) }
}

/**
 * The speedup: the peer's time over ours in each round, so that a temporary slowdown of the machine slows both of a pair. Rounds that
 * only one of them finished are left out.
 */
export const ratio = (peer: ReadonlyArray<number>, ours: ReadonlyArray<number>): Spread => {
  const rounds = Math.min(peer.length, ours.length)
  return spread(Array.from({ length: rounds }, (_, i) => peer[i]! / ours[i]!))
}
