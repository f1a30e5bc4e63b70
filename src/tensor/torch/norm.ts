import type { Backend, NormShape } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Memory, Real } from "./memory.ts"

/** RMS norm (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016). */
export const norm = (
  aten: Aten,
  memory: Memory
): Pick<Backend, "rmsNorm" | "rmsNormBackward" | "layerNorm" | "layerNormBackward"> => {
  const { add, as, constant, copy, div, hypot, mul, room, run } = aten
  const { check, output, real, view } = memory
  /** The groups: [rows, dim] with a single group a row, otherwise [rows, groups, dim]. */
  const groupsOf = (of: Real, { dim, groups, offset, rows, stride }: NormShape): number =>
    groups === 1
      ? view(of, [rows, dim], [stride, 1], offset)
      : view(of, [rows, groups, dim], [stride, dim, 1], offset)
  /** A number for each group, to be broadcast over it. */
  const perGroup = (of: Real, { groups, rows }: NormShape): number =>
    view(of, groups === 1 ? [rows, 1] : [rows, groups, 1])

  /** plus + weight; only within a kernel. */
  const gain = (weight: Real, { dim, plus }: NormShape): number => {
    const held = view(weight, [dim])
    if (plus === 0) return held
    const sum = room([dim])
    copy(sum, held)
    aten.addcmul(sum, constant(plus), aten.one)
    return sum
  }

  return {
    rmsNorm: (out, x, weight, inv, shape) => {
      const kernel = "rmsNorm"
      const sizes = check.norm(kernel, shape)
      const to = groupsOf(output(kernel, "out", out, sizes.x), shape)
      const from = groupsOf(real(kernel, "x", x, sizes.x), shape)
      const weights = real(kernel, "weight", weight, shape.dim)
      const inverse = perGroup(output(kernel, "inv", inv, sizes.inv), shape)
      const { dim, eps, groups, rows } = shape
      run(kernel, [rows, groups, dim], () => {
        // inv = √dim / √(Σx² + dim · eps)
        const length = aten.norm(from)
        hypot(length, length, constant(Math.sqrt(dim * eps)))
        div(inverse, constant(Math.sqrt(dim)), length)
        mul(to, from, inverse)
        mul(to, to, gain(weights, shape))
      })
    },
    rmsNormBackward: (out, dOut, x, weight, inv, shape) => {
      const kernel = "rmsNormBackward"
      const sizes = check.norm(kernel, shape)
      const to = groupsOf(output(kernel, "dX", out.dX, sizes.x), shape)
      const gradient = groupsOf(real(kernel, "dOut", dOut, sizes.x), shape)
      const from = groupsOf(real(kernel, "x", x, sizes.x), shape)
      const weights = real(kernel, "weight", weight, shape.dim)
      const { dim, groups, rows } = shape
      const dWeight = out.dWeight === null ? null : view(output(kernel, "dWeight", out.dWeight, dim), [dim])
      const inverses = real(kernel, "inv", inv, sizes.inv)
      run(kernel, [rows, groups, dim], () => {
        // The backward pass of a layer norm whose mean is 0 differs by one term: it also takes the mean of the gradient away,
        // inv · mean(weight · dOut) in each element. It is put back.
        const by = gain(weights, shape)
        const inverse = perGroup(inverses, shape)
        const zeros = as(memory.zeros(rows * groups), groups === 1 ? [rows, 1] : [rows, groups, 1])
        const [dX, dBy] = aten.layerNormBackward(gradient, from, dim, zeros, inverse, by, dWeight !== null)
        const mean = aten.timesVector(gradient, by, groups === 1 ? 2 : 3)
        const taken = room(groups === 1 ? [rows, 1] : [rows, groups, 1])
        const flatMean = as(mean, groups === 1 ? [rows, 1] : [rows, groups, 1])
        mul(taken, flatMean, inverse)
        mul(taken, taken, constant(1 / dim))
        if (out.accumulate) {
          add(to, dX)
          add(to, taken)
        } else {
          add(dX, taken)
          copy(to, dX)
        }
        if (dWeight !== null) add(dWeight, dBy!)
      })
    },

    layerNorm: (out, x, weight, bias, stats, { dim, eps, rows }) => {
      const kernel = "layerNorm"
      const to = view(output(kernel, "out", out, rows * dim), [rows, dim])
      const from = view(real(kernel, "x", x, rows * dim), [rows, dim])
      const by = view(real(kernel, "weight", weight, dim), [dim])
      const more = bias === null ? null : view(real(kernel, "bias", bias, dim), [dim])
      const kept = output(kernel, "stats", stats, 2 * rows)
      run(kernel, [rows, dim], () => {
        const [y, mean, inv] = aten.layerNorm(from, dim, by, more, eps)
        copy(to, y)
        copy(view(kept, [rows, 1], [2, 1]), mean)
        copy(view(kept, [rows, 1], [2, 1], 1), inv)
      })
    },
    layerNormBackward: (out, dOut, x, weight, stats, { dim, rows }) => {
      const kernel = "layerNormBackward"
      const to = view(output(kernel, "dX", out.dX, rows * dim), [rows, dim])
      const [dWeight, dBias] = [
        out.dWeight === null ? null : view(output(kernel, "dWeight", out.dWeight, dim), [dim]),
        out.dBias === null ? null : view(output(kernel, "dBias", out.dBias, dim), [dim])
      ]
      const gradient = view(real(kernel, "dOut", dOut, rows * dim), [rows, dim])
      const from = view(real(kernel, "x", x, rows * dim), [rows, dim])
      const by = view(real(kernel, "weight", weight, dim), [dim])
      const kept = real(kernel, "stats", stats, 2 * rows)
      run(kernel, [rows, dim], () => {
        // The operator reads both without their strides.
        const [mean, inv] = [room([rows, 1]), room([rows, 1])]
        copy(mean, view(kept, [rows, 1], [2, 1]))
        copy(inv, view(kept, [rows, 1], [2, 1], 1))
        // Only the presence of a bias counts for its gradient.
        const [dX, dBy, dMore] = aten.layerNormBackward(gradient, from, dim, mean, inv, by, dWeight !== null, dBias)
        if (out.accumulate) add(to, dX)
        else copy(to, dX)
        if (dWeight !== null) add(dWeight, dBy!)
        if (dBias !== null) add(dBias, dMore!)
      })
    }
  }
}
