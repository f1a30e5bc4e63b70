/** Named arrays, element by element. Sums are in double precision; a result is rounded once, when it is stored. */
import type { TensorData, Tensors } from "../engine/engine.ts"

/** The models of a merge by name; all have the same tensors (`model/sameNetwork.ts`). */
export type Models = Readonly<Record<string, Tensors>>

/** An array of one tensor's elements. */
export type Elements = TensorData["data"]

/** float64 when any of the arrays is, float32 otherwise. */
const like = (length: number, all: ReadonlyArray<Elements>): Float32Array | Float64Array =>
  all.some((data) => data instanceof Float64Array) ? new Float64Array(length) : new Float32Array(length)

/** For each tensor of the models: `combine` gets the arrays of that name, in the order of `models`. */
export const mapTensors = (
  models: ReadonlyArray<Tensors>,
  combine: (all: ReadonlyArray<Elements>, name: string) => ArrayLike<number>
): Tensors =>
  new Map([...models[0]!].map(([name, { shape }]) => {
    const all = models.map((tensors) => tensors.get(name)!.data)
    const data = like(all[0]!.length, all)
    data.set(combine(all, name))
    return [name, { shape, data }]
  }))

/** τ = θ − θ_base, the task vector of one tensor (Ilharco et al. 2023, arXiv 2212.04089). */
export const difference = (theta: Elements, base: Elements): Float64Array =>
  Float64Array.from(theta, (x, i) => x - base[i]!)

/** Σ_m w_m x_m. */
export const weightedSum = (all: ReadonlyArray<ArrayLike<number>>, weights: ReadonlyArray<number>): Float64Array => {
  const sum = new Float64Array(all[0]!.length)
  all.forEach((data, m) => {
    for (let i = 0; i < sum.length; i++) sum[i]! += weights[m]! * data[i]!
  })
  return sum
}
