import type { Tensors } from "../engine/engine.ts"
import { mapTensors, type Models, weightedSum } from "./tensors.ts"

/**
 * θ = Σ_m w_m θ_m with Σ w_m = 1: model soups (Wortsman et al. 2022, arXiv 2203.05482) and, of reward models, WARM (Ramé et al.
 * 2024, arXiv 2401.12187). Without weights the plain mean; with `normalize` they are divided by their sum first.
 */
export const linear = (
  models: Models,
  { normalize, weights }: { readonly weights?: Readonly<Record<string, number>>; readonly normalize: boolean }
): Tensors => {
  const names = Object.keys(models)
  const given = names.map((name) => weights === undefined ? 1 / names.length : weights[name]!)
  const sum = normalize ? given.reduce((sum, w) => sum + w, 0) : 1
  return mapTensors(names.map((name) => models[name]!), (all) => weightedSum(all, given.map((w) => w / sum)))
}
