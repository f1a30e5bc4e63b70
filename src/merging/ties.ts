import type { Tensors } from "../engine/engine.ts"
import { difference, mapTensors, type Models } from "./tensors.ts"

/** The magnitude of the k-th largest of all elements, k = ⌈density · n⌉; elements of exactly that magnitude are kept too. */
const threshold = (taus: ReadonlyArray<Float64Array>, density: number): number => {
  const magnitudes = new Float64Array(taus.reduce((n, tau) => n + tau.length, 0))
  let at = 0
  for (const tau of taus) for (const x of tau) magnitudes[at++] = Math.abs(x)
  const kept = Math.ceil(density * magnitudes.length)
  return kept === 0 ? Infinity : magnitudes.sort()[magnitudes.length - kept]!
}

/**
 * TIES-merging (Yadav et al. 2023, arXiv 2306.01708, algorithm 1): of each task vector only the elements of largest magnitude
 * are kept, a share `density` of the *whole* vector; each element's sign is the sign of the sum over models; the mean is over
 * the models that have that sign; θ = θ_base + λ τ.
 *
 * Deviations: mergekit trims every tensor by itself and lets + win an election that ends 0 : 0; here no sign is elected then,
 * so that negated task vectors give the negated result.
 */
export const ties = (
  base: Tensors,
  models: Models,
  { density, lambda }: { readonly density: number; readonly lambda: number }
): Tensors => {
  const all = Object.values(models)
  const least = all.map((model) =>
    threshold([...base].map(([name, { data }]) => difference(model.get(name)!.data, data)), density)
  )
  return mapTensors([base, ...all], ([origin, ...thetas]) => {
    const taus = thetas.map((theta, m) => difference(theta, origin!).map((x) => Math.abs(x) >= least[m]! ? x : 0))
    return Float64Array.from(origin!, (x, i) => {
      const elected = Math.sign(taus.reduce((sum, tau) => sum + tau[i]!, 0))
      const agreeing = taus.map((tau) => tau[i]!).filter((tau) => tau !== 0 && Math.sign(tau) === elected)
      return agreeing.length === 0 ? x : x + lambda * agreeing.reduce((sum, tau) => sum + tau, 0) / agreeing.length
    })
  })
}
