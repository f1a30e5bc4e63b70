/**
 * pass@k of a prompt of which `passed` of `n` completions passed: the chance that at least one of k of them passes, drawn without putting
 * back (Chen et al. 2021, arXiv 2107.03374, eq. 1), an unbiased estimate of the chance for k new completions:
 *
 *     1 − C(n − c, k) / C(n, k) = 1 − Π_{i = n − c + 1}^{n} (1 − k / i)
 *
 * The product has no large numbers. 1 ≤ k ≤ n.
 */
export const passAtK = (n: number, passed: number, k: number): number => {
  if (n - passed < k) return 1
  let none = 1
  for (let i = n - passed + 1; i <= n; i++) none *= 1 - k / i
  return 1 - none
}
