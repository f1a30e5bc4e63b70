import type { Backend, NormShape } from "../backend.ts"
import { adding, type Compiled } from "./compiled.ts"

/** RMS norm and rotary embedding. */
export const norm = (
  { check, int, real, run }: Compiled
): Pick<Backend, "rmsNorm" | "rmsNormBackward" | "rope"> => {
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
        shape.eps
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
      run("rms_norm_backward", 2 * work, [dX, gradient, input, by, inverse, Number(out.accumulate), ...numbers])
    },

    rope: (x, cos, sin, positions, shape) => {
      const known = check.rope(cos, shape)
      const { headDim, heads, inverse, stride } = shape
      run("rope", adding * positions.length * heads * headDim, [
        real("rope", "x", x, positions.length * stride),
        real("rope", "cos", cos),
        real("rope", "sin", sin, cos.length),
        int("rope", "positions", positions, known),
        positions.length,
        heads,
        headDim,
        stride,
        Number(inverse)
      ])
    }
  }
}
