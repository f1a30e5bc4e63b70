import type { Tensors } from "../engine/engine.ts"
import { stream } from "../sampling/random.ts"
import { difference, mapTensors, type Models } from "./tensors.ts"

/**
 * DARE (Yu et al. 2024, arXiv 2311.03099, §3.1), then task arithmetic: each element of a task vector is dropped with probability
 * p and the rest is divided by 1 − p, so that its expectation is τ; θ = θ_base + λ Σ_m τ̃_m. Which elements are dropped depends
 * on `seed`, the model's name and the tensor's name.
 */
export const dare = (
  base: Tensors,
  models: Models,
  { dropRate, lambda, seed }: { readonly dropRate: number; readonly lambda: number; readonly seed: string }
): Tensors => {
  const names = Object.keys(models)
  return mapTensors([base, ...names.map((name) => models[name]!)], ([origin, ...thetas], tensor) => {
    const sum = new Float64Array(origin!.length)
    thetas.forEach((theta, m) => {
      const random = stream(`${seed}/${names[m]}/${tensor}`)
      difference(theta, origin!).forEach((tau, i) => {
        if (random.next() >= dropRate) sum[i]! += tau / (1 - dropRate)
      })
    })
    return sum.map((tau, i) => origin![i]! + lambda * tau)
  })
}
