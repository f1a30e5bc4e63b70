import type { Backend, NormShape } from "../backend.ts"
import type { Compiled } from "./compiled.ts"
import { adding } from "./compiled.ts"

/** RMS norm and rotary embedding. */
export const norm = (
  { int, need, real, rowsOf, run }: Compiled
): Pick<Backend, "rmsNorm" | "rmsNormBackward" | "rope"> => {
  const normSizes = (kernel: string, { dim, groups, offset, rows, stride }: NormShape) => {
    need(
      dim > 0 && offset >= 0 && offset + groups * dim <= stride,
      kernel,
      () => `${groups} groups of ${dim} from ${offset} do not fit in a row of ${stride}`
    )
    return { x: rows * stride, inv: rows * groups, work: adding * rows * groups * dim }
  }

  return {
    rmsNorm: (out, x, weight, inv, shape) => {
      const sizes = normSizes("rmsNorm", shape)
      run("rms_norm", sizes.work, [
        real("rmsNorm", "out", out, sizes.x),
        real("rmsNorm", "x", x, sizes.x),
        real("rmsNorm", "weight", weight, shape.dim),
        real("rmsNorm", "inv", inv, sizes.inv),
        shape.rows,
        shape.groups,
        shape.dim,
        shape.stride,
        shape.offset,
        shape.eps
      ])
    },
    rmsNormBackward: (out, dOut, x, weight, inv, shape) => {
      const kernel = "rmsNormBackward"
      const sizes = normSizes(kernel, shape)
      const dX = real(kernel, "dX", out.dX, sizes.x)
      const gradient = real(kernel, "dOut", dOut, sizes.x)
      const input = real(kernel, "x", x, sizes.x)
      const by = real(kernel, "weight", weight, shape.dim)
      const inverse = real(kernel, "inv", inv, sizes.inv)
      const { dim, groups, offset, rows, stride } = shape
      // First, because dX may be dOut.
      if (out.dWeight !== null) {
        const dWeight = real(kernel, "dWeight", out.dWeight, dim)
        run("rms_norm_weight_gradient", sizes.work, [
          dWeight,
          gradient,
          input,
          inverse,
          rows,
          groups,
          dim,
          stride,
          offset
        ])
      }
      const accumulate = Number(out.accumulate)
      run("rms_norm_backward", 2 * sizes.work, [
        dX,
        gradient,
        input,
        by,
        inverse,
        accumulate,
        rows,
        groups,
        dim,
        stride,
        offset
      ])
    },

    rope: (x, cos, sin, positions, { headDim, heads, inverse, stride }) => {
      need(headDim > 0 && headDim % 2 === 0, "rope", () => `headDim ${headDim} is not even`)
      need(heads * headDim <= stride, "rope", () => `${heads} heads of ${headDim} do not fit in a row of ${stride}`)
      const known = rowsOf("rope", "cos", cos, headDim / 2)
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
