import type { Tensors } from "../engine/engine.ts"
import { difference, mapTensors, type Models } from "./tensors.ts"

/**
 * θ = θ_base + λ Σ_m τ_m, τ_m = θ_m − θ_base (Ilharco et al. 2023, arXiv 2212.04089, §2). Of one model it is LITI, the linear
 * interpolation towards the initialisation (1 − λ) θ_base + λ θ (WARP, Ramé et al. 2024, arXiv 2406.16768, eq. LITI).
 */
export const taskArithmetic = (base: Tensors, models: Models, { lambda }: { readonly lambda: number }): Tensors =>
  mapTensors([base, ...Object.values(models)], ([origin, ...thetas]) => {
    const taus = thetas.map((theta) => difference(theta, origin!))
    return Float64Array.from(origin!, (x, i) => x + lambda * taus.reduce((sum, tau) => sum + tau[i]!, 0))
  })
