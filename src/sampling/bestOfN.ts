/**
 * How likely each of N candidates is the best of a random n of them, ties shared: the weights whose sum with any quantity of the
 * candidates is its unbiased estimate under best-of-n (Nakano et al. 2021, arXiv 2112.09332, app. I).
 *
 *     P(the best is among those that score s) = [C(≤ s, n) − C(< s, n)] / C(N, n)
 *
 * Throws when n is more than N: no subset has n.
 */
export const bestOfNWeights = (scores: ArrayLike<number>, n: number): Float64Array => {
  const count = scores.length
  if (!(n >= 1 && n <= count)) throw new RangeError(`best of ${n} needs at least ${n} candidates, not ${count}`)
  const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!)
  /** C(m, n) / C(N, n), as a product of ratios of at most 1. */
  const share = (m: number): number => {
    let product = 1
    for (let i = 0; i < n; i++) product *= Math.max(0, m - i) / (count - i)
    return product
  }
  const weights = new Float64Array(count)
  for (let from = 0; from < count;) {
    let to = from
    while (to < count && scores[order[to]!] === scores[order[from]!]) to++
    for (let i = from; i < to; i++) weights[order[i]!] = (share(to) - share(from)) / (to - from)
    from = to
  }
  return weights
}
