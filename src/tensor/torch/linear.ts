import type { Backend, Tensor } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"
import { type Matrix, matrixOf, type Products, turn } from "./products.ts"

/** Linear layers. */
export const linear = (
  aten: Aten,
  memory: Memory,
  { accumulate, into, intoPacked, pack, packedBytes }: Products
): Pick<Backend, "linear" | "linearBackward" | "packedLength" | "packWeight" | "linearPacked"> => {
  const { output, real, view } = memory
  /** `multiplier` checks the weight, and gives the product with it. */
  const affine = (
    kernel: string,
    multiplier: (w: Tensor, inputs: number, outputs: number) => (out: Matrix, x: Matrix, add: Handle | null) => void
  ): Backend["linear"] =>
  (out, x, w, bias, rows, inputs, outputs, residual = null) => {
    const to = matrixOf(memory, output(kernel, "out", out, rows * outputs), rows, outputs)
    const from = matrixOf(memory, real(kernel, "x", x, rows * inputs), rows, inputs)
    const multiply = multiplier(w, inputs, outputs)
    const add = residual === null ? null : view(real(kernel, "residual", residual, rows * outputs), [rows, outputs])
    const added = bias === null ? null : real(kernel, "bias", bias, outputs)
    aten.run(kernel, [rows, inputs, outputs], () => {
      multiply(to, from, add)
      if (added !== null) aten.add(to.straight, view(added, [1, outputs]))
    })
  }
  return {
    linear: affine("linear", (w, inputs, outputs) => {
      const weight = matrixOf(memory, real("linear", "w", w, outputs * inputs), outputs, inputs)
      return (to, x, add) => into(to, x, turn(weight), add)
    }),
    // The packed weight is libtorch's own tensor, kept beside a buffer that stands for it.
    packedLength: () => 1,
    packWeight: (packed, w, inputs, outputs) => {
      const kernel = "packWeight"
      const into = output(kernel, "packed", packed, 1)
      const weight = matrixOf(memory, real(kernel, "w", w, inputs * outputs), outputs, inputs)
      aten.run(kernel, [inputs, outputs], () => memory.attach(into, pack(turn(weight)), inputs, outputs, packedBytes))
    },
    linearPacked: affine("linearPacked", (packed, inputs, outputs) => {
      const weight = memory.attached("linearPacked", real("linearPacked", "packed", packed, 1), inputs, outputs)
      return (to, x, add) => intoPacked(to, x, weight, add)
    }),
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) => {
      const kernel = "linearBackward"
      const gradient = matrixOf(memory, real(kernel, "dOut", dOut, rows * outputs), rows, outputs)
      const input = matrixOf(memory, real(kernel, "x", x, rows * inputs), rows, inputs)
      const weight = matrixOf(memory, real(kernel, "w", w, outputs * inputs), outputs, inputs)
      const dX = out.dX === null ? null : matrixOf(memory, output(kernel, "dX", out.dX, rows * inputs), rows, inputs)
      const dW = out.dW === null
        ? null
        : matrixOf(memory, output(kernel, "dW", out.dW, outputs * inputs), outputs, inputs)
      const dBias = out.dBias === null ? null : view(output(kernel, "dBias", out.dBias, outputs), [1, outputs])
      aten.run(kernel, [rows, inputs, outputs], () => {
        if (dX !== null) into(dX, gradient, weight, out.accumulate ? dX.straight : null)
        if (dW !== null) accumulate(dW, gradient, input)
        if (dBias !== null) aten.addmm(dBias, dBias, memory.ones(rows), gradient.straight)
      })
    }
  }
}
