import type { Tensors } from "../engine/engine.ts"
import { difference, mapTensors, type Models, weightedSum } from "./tensors.ts"

/** Above this |cos Ω| the arc is taken for its chord; the threshold of mergekit, where both differ by 1e-4 at most. */
const collinear = 0.9995

/**
 * Spherical interpolation (Shoemake 1985): sin((1 − t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b, Ω the angle between a and b. Falls back
 * to (1 − t) a + t b where Ω is close to 0 or π and where either is zero, so that there is no angle. The vectors may be in several parts.
 */
const coefficients = (
  pairs: Iterable<readonly [ArrayLike<number>, ArrayLike<number>]>,
  t: number
): readonly [number, number] => {
  let [aa, bb, ab] = [0, 0, 0]
  for (const [a, b] of pairs) {
    for (let i = 0; i < a.length; i++) {
      aa += a[i]! * a[i]!
      bb += b[i]! * b[i]!
      ab += a[i]! * b[i]!
    }
  }
  const cosine = ab / (Math.sqrt(aa) * Math.sqrt(bb))
  // Not `>`: of a zero vector the cosine is NaN.
  if (!(Math.abs(cosine) <= collinear)) return [1 - t, t]
  const omega = Math.acos(cosine)
  return [Math.sin((1 - t) * omega) / Math.sin(omega), Math.sin(t * omega) / Math.sin(omega)]
}

/** The interpolation of a single vector. */
export const arc = (a: ArrayLike<number>, b: ArrayLike<number>, t: number): Float64Array =>
  weightedSum([a, b], coefficients([[a, b]], t))

/** The vectors between which angles are taken: tensors, or layers. */
interface Angles {
  readonly per?: "tensor" | "layer"
}

/** The two weights, of sum 1: the second is t. */
type Weights = Angles & { readonly weights: Readonly<Record<string, number>> }

/** A layer is the number in a name; a tensor outside the layers is a vector of its own. */
const vectorOf = (name: string, { per }: Angles): string =>
  per === "layer" ? /\.layers\.\d+\./u.exec(name)?.[0] ?? name : name

function* inTurn<A>(names: ReadonlyArray<string>, of: (name: string) => A): Generator<A> {
  for (const name of names) yield of(name)
}

/** Of each tensor, the two coefficients of its vector. `parts` is asked for one tensor at a time, which bounds memory. */
const byName = (
  names: Iterable<string>,
  parts: (name: string) => readonly [ArrayLike<number>, ArrayLike<number>],
  angles: Angles,
  t: number
): ReadonlyMap<string, readonly [number, number]> => {
  const vectors = new Map<string, Array<string>>()
  for (const name of names) {
    const vector = vectorOf(name, angles)
    vectors.set(vector, [...vectors.get(vector) ?? [], name])
  }
  return new Map(
    [...vectors.values()].flatMap((names) => {
      const found = coefficients(inTurn(names, parts), t)
      return names.map((name) => [name, found] as const)
    })
  )
}

/** SLERP of two models. */
export const slerp = (models: Models, method: Weights): Tensors => {
  const [a, b] = Object.keys(models).map((name) => models[name]!)
  const [, second] = Object.keys(models)
  const found = byName(a!.keys(), (name) => [a!.get(name)!.data, b!.get(name)!.data], method, method.weights[second!]!)
  return mapTensors([a!, b!], (both, name) => weightedSum(both, found.get(name)!))
}

/** θ = θ_base + SLERP(τ_a, τ_b) (WARP, Ramé et al. 2024, arXiv 2406.16768, §3.2). */
export const taskSlerp = (base: Tensors, models: Models, method: Weights): Tensors => {
  const [a, b] = Object.keys(models).map((name) => models[name]!)
  const [, second] = Object.keys(models)
  const taus = (name: string) => {
    const origin = base.get(name)!.data
    return [difference(a!.get(name)!.data, origin), difference(b!.get(name)!.data, origin)] as const
  }
  const found = byName(base.keys(), taus, method, method.weights[second!]!)
  return mapTensors([base], ([origin], name) => {
    const sum = weightedSum(taus(name), found.get(name)!)
    return sum.map((z, i) => origin![i]! + z)
  })
}
