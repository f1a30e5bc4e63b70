import type { Backend, Tensor } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"
import { matrixOf, type Products, turn } from "./products.ts"

/** Linear layers. */
export const linear = (
  aten: Aten,
  memory: Memory,
  { accumulate, into, intoPacked, pack, packedBytes }: Products
): Pick<Backend, "linear" | "linearBackward" | "packedLength" | "packWeight" | "linearPacked"> => {
  const { output, real, view } = memory
  const addBias = (kernel: string, out: number, bias: Tensor | null, outputs: number): void => {
    if (bias !== null) aten.add(out, view(real(kernel, "bias", bias, outputs), [1, outputs]))
  }
  return {
    linear: (out, x, w, bias, rows, inputs, outputs, residual = null) => {
      const kernel = "linear"
      const to = matrixOf(memory, output(kernel, "out", out, rows * outputs), rows, outputs)
      const from = matrixOf(memory, real(kernel, "x", x, rows * inputs), rows, inputs)
      const weight = matrixOf(memory, real(kernel, "w", w, outputs * inputs), outputs, inputs)
      const add = residual === null
        ? null
        : view(real(kernel, "residual", residual, rows * outputs), [rows, outputs])
      if (bias !== null) real(kernel, "bias", bias, outputs)
      aten.run(kernel, [rows, inputs, outputs], () => {
        into(to, from, turn(weight), add)
        addBias(kernel, to.straight, bias, outputs)
      })
    },
    // The packed weight is libtorch's own tensor, kept beside a buffer that stands for it.
    packedLength: () => 1,
    packWeight: (packed, w, inputs, outputs) => {
      const kernel = "packWeight"
      const into = output(kernel, "packed", packed, 1)
      const weight = matrixOf(memory, real(kernel, "w", w, inputs * outputs), outputs, inputs)
      aten.run(kernel, [inputs, outputs], () => memory.attach(into, pack(turn(weight)), inputs, outputs, packedBytes))
    },
    linearPacked: (out, x, packed, bias, rows, inputs, outputs, residual = null) => {
      const kernel = "linearPacked"
      const to = matrixOf(memory, output(kernel, "out", out, rows * outputs), rows, outputs)
      const from = matrixOf(memory, real(kernel, "x", x, rows * inputs), rows, inputs)
      const weight = memory.attached(kernel, real(kernel, "packed", packed, 1), inputs, outputs)
      const add = residual === null
        ? null
        : view(real(kernel, "residual", residual, rows * outputs), [rows, outputs])
      if (bias !== null) real(kernel, "bias", bias, outputs)
      aten.run(kernel, [rows, inputs, outputs], () => {
        intoPacked(to, from, weight, add)
        addBias(kernel, to.straight, bias, outputs)
      })
    },
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
