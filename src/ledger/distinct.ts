/**
 * distinct-n (Li et al. 2016, arXiv 1510.03055): different n-grams over all n-grams of some completions, token ids. Falls as a policy says the same
 * thing everywhere. It depends on how much text there is: compare it between equal numbers of completions. NaN when there is no n-gram.
 */
export const distinct = (completions: ReadonlyArray<Int32Array>, n: number): number => {
  const seen = new Set<string>()
  let total = 0
  for (const completion of completions) {
    for (let i = 0; i + n <= completion.length; i++) {
      let gram = String(completion[i])
      for (let t = i + 1; t < i + n; t++) gram += ` ${completion[t]}`
      seen.add(gram)
      total++
    }
  }
  return total === 0 ? NaN : seen.size / total
}
