import type { Tensors } from "../engine/engine.ts"
import { difference, mapTensors, type Models, weightedSum } from "./tensors.ts"

/** Above this |cos Ω| the arc is taken for its chord; the threshold of mergekit, where both differ by 1e-4 at most. */
const collinear = 0.9995

/**
 * Spherical interpolation (Shoemake 1985): sin((1 − t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b, Ω the angle between a and b. Falls back
 * to (1 − t) a + t b where Ω is close to 0 or π and where either is zero, so that there is no angle.
 */
export const arc = (a: ArrayLike<number>, b: ArrayLike<number>, t: number): Float64Array => {
  let [aa, bb, ab] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    aa += a[i]! * a[i]!
    bb += b[i]! * b[i]!
    ab += a[i]! * b[i]!
  }
  const cosine = ab / (Math.sqrt(aa) * Math.sqrt(bb))
  // Not `>`: of a zero vector the cosine is NaN.
  if (!(Math.abs(cosine) <= collinear)) return weightedSum([a, b], [1 - t, t])
  const omega = Math.acos(cosine)
  return weightedSum([a, b], [Math.sin((1 - t) * omega) / Math.sin(omega), Math.sin(t * omega) / Math.sin(omega)])
}

/** The two weights, of sum 1: the second is t. */
type Weights = { readonly weights: Readonly<Record<string, number>> }

/** SLERP of two models, tensor by tensor. */
export const slerp = (models: Models, { weights }: Weights): Tensors => {
  const [a, b] = Object.keys(models)
  return mapTensors([models[a!]!, models[b!]!], ([x, y]) => arc(x!, y!, weights[b!]!))
}

/** θ = θ_base + SLERP(τ_a, τ_b), tensor by tensor (WARP, Ramé et al. 2024, arXiv 2406.16768, §3.2). */
export const taskSlerp = (base: Tensors, models: Models, { weights }: Weights): Tensors => {
  const [a, b] = Object.keys(models)
  return mapTensors([base, models[a!]!, models[b!]!], ([origin, x, y]) => {
    const tau = arc(difference(x!, origin!), difference(y!, origin!), weights[b!]!)
    return tau.map((z, i) => origin![i]! + z)
  })
}
