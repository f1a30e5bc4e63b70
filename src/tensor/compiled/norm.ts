import type { Backend, NormShape } from "../backend.ts"
import { adding, type Compiled } from "./compiled.ts"

/** Norms and rotary embedding. */
export const norm = (
  { check, int, real, run }: Compiled
): Pick<Backend, "rmsNorm" | "rmsNormBackward" | "layerNorm" | "layerNormBackward" | "rope"> => {
  const normSizes = (kernel: string, shape: NormShape) => {
    const { dim, groups, offset, rows, stride } = shape
    const { inv, x } = check.norm(kernel, shape)
    /** `numbers` are the last arguments of every kernel. */
    return { inv, x, work: adding * rows * groups * dim, numbers: [rows, groups, dim, stride, offset] }
  }

  return {
    rmsNorm: (out, x, weight, inv, shape) => {
      const kernel = "rmsNorm"
      const sizes = normSizes(kernel, shape)
      run("rms_norm", sizes.work, [
        real(kernel, "out", out, sizes.x),
        real(kernel, "x", x, sizes.x),
        real(kernel, "weight", weight, shape.dim),
        real(kernel, "inv", inv, sizes.inv),
        ...sizes.numbers,
        shape.eps,
        shape.plus
      ])
    },
    rmsNormBackward: (out, dOut, x, weight, inv, shape) => {
      const kernel = "rmsNormBackward"
      const { inv: groups, numbers, work, x: length } = normSizes(kernel, shape)
      const dX = real(kernel, "dX", out.dX, length)
      const gradient = real(kernel, "dOut", dOut, length)
      const input = real(kernel, "x", x, length)
      const by = real(kernel, "weight", weight, shape.dim)
      const inverse = real(kernel, "inv", inv, groups)
      // First, because dX may be dOut.
      if (out.dWeight !== null) {
        const dWeight = real(kernel, "dWeight", out.dWeight, shape.dim)
        run("rms_norm_weight_gradient", work, [dWeight, gradient, input, inverse, ...numbers])
      }
      const scalars = [Number(out.accumulate), ...numbers, shape.plus]
      run("rms_norm_backward", 2 * work, [dX, gradient, input, by, inverse, ...scalars])
    },

    layerNorm: (out, x, weight, bias, stats, { dim, eps, rows }) => {
      const kernel = "layerNorm"
      run("layer_norm", 2 * adding * rows * dim, [
        real(kernel, "out", out, rows * dim),
        real(kernel, "x", x, rows * dim),
        real(kernel, "weight", weight, dim),
        bias === null ? 0 : real(kernel, "bias", bias, dim),
        real(kernel, "stats", stats, 2 * rows),
        rows,
        dim,
        eps
      ])
    },
    layerNormBackward: (out, dOut, x, weight, stats, { dim, rows }) => {
      const kernel = "layerNormBackward"
      const work = adding * rows * dim
      const dX = real(kernel, "dX", out.dX, rows * dim)
      const gradient = real(kernel, "dOut", dOut, rows * dim)
      const input = real(kernel, "x", x, rows * dim)
      const by = real(kernel, "weight", weight, dim)
      const kept = real(kernel, "stats", stats, 2 * rows)
      if (out.dWeight !== null) {
        const dWeight = real(kernel, "dWeight", out.dWeight, dim)
        run("layer_norm_weight_gradient", work, [dWeight, gradient, input, kept, rows, dim])
      }
      if (out.dBias !== null) {
        run("linear_bias_gradient", work, [real(kernel, "dBias", out.dBias, dim), gradient, rows, dim])
      }
      run("layer_norm_backward", 3 * work, [dX, gradient, input, by, kept, Number(out.accumulate), rows, dim])
    },

    rope: (x, cos, sin, positions, shape) => {
      const known = check.rope(cos, shape)
      const { headDim, heads, inverse, stride, turned } = shape
      run("rope", adding * positions.length * heads * headDim, [
        real("rope", "x", x, positions.length * stride),
        real("rope", "cos", cos),
        real("rope", "sin", sin, cos.length),
        int("rope", "positions", positions, known),
        positions.length,
        heads,
        headDim,
        turned,
        stride,
        Number(inverse)
      ])
    }
  }
}
