/**
 * The posterior of domains on documents: p(j | x) ∝ p_j(x) under the uniform prior, and its mean over documents; of it the `top` largest
 * weights, divided by their sum (Branch-Train-Merge, Li et al. 2022, arXiv 2208.03306, §3).
 *
 * @param logps log p_j(x) of each document, nats, of each model by name
 * @returns weights by name, of sum 1
 */
export const posterior = (
  logps: Readonly<Record<string, ReadonlyArray<number>>>,
  top: number = Infinity
): Readonly<Record<string, number>> => {
  const all = Object.entries(logps)
  const sums = new Map(all.map(([name]) => [name, 0]))
  for (let x = 0; x < all[0]![1].length; x++) {
    const most = Math.max(...all.map(([, of]) => of[x]!))
    const joint = all.map(([name, of]) => [name, Math.exp(of[x]! - most)] as const)
    const evidence = joint.reduce((sum, [, p]) => sum + p, 0)
    for (const [name, p] of joint) sums.set(name, sums.get(name)! + p / evidence)
  }
  // Of equal weights the first by name stay, so that the order of the models decides nothing.
  const ranked = [...sums].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, top)
  const total = ranked.reduce((sum, [, w]) => sum + w, 0)
  return Object.fromEntries(all.map(([name]) => [name, (ranked.find(([of]) => of === name)?.[1] ?? 0) / total]))
}
