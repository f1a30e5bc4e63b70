import type { Backend } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

export const linear = (
  tf: Tfjs,
  { accumulate, kernel, real, room, set }: Memory
): Pick<Backend, "linear" | "linearBackward" | "linearPacked" | "packWeight" | "packedLength"> => {
  /** `product` multiplies x with the weight as it lies: [outputs, inputs], or packed. */
  const affine = (
    name: string,
    weight: (outputs: number, inputs: number) => ReadonlyArray<number>,
    product: (x: T, w: T) => T
  ): Backend["linear"] =>
  (out, x, w, bias, rows, inputs, outputs, residual = null) =>
    kernel(() => {
      const to = room(name, "out", out, rows * outputs)
      const matrix = real(name, "w", w, weight(outputs, inputs))
      const added = bias === null ? null : real(name, "bias", bias, [outputs])
      const rest = residual === null ? null : real(name, "residual", residual, [rows, outputs])
      let y = product(real(name, "x", x, [rows, inputs]), matrix)
      if (added !== null) y = tf.add(y, added)
      if (rest !== null) y = tf.add(y, rest)
      set(to, y)
    })
  return {
    linear: affine("linear", (outputs, inputs) => [outputs, inputs], (x, w) => tf.matMul(x, w, false, true)),
    packedLength: (inputs, outputs) => inputs * outputs,
    // Transposed once instead of in every product.
    packWeight: (packed, w, inputs, outputs) =>
      kernel(() => {
        const to = room("packWeight", "packed", packed, inputs * outputs)
        set(to, tf.transpose(real("packWeight", "w", w, [outputs, inputs])))
      }),
    linearPacked: affine("linearPacked", (outputs, inputs) => [inputs, outputs], (x, w) => tf.matMul(x, w)),
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) =>
      kernel(() => {
        const name = "linearBackward"
        const gradient = real(name, "dOut", dOut, [rows, outputs])
        const input = real(name, "x", x, [rows, inputs])
        const weight = real(name, "w", w, [outputs, inputs])
        const dX = out.dX === null ? null : room(name, "dX", out.dX, rows * inputs)
        const dW = out.dW === null ? null : room(name, "dW", out.dW, outputs * inputs)
        const dBias = out.dBias === null ? null : room(name, "dBias", out.dBias, outputs)
        if (dX !== null) (out.accumulate ? accumulate : set)(dX, tf.matMul(gradient, weight))
        if (dW !== null) accumulate(dW, tf.matMul(gradient, input, true, false))
        if (dBias !== null) accumulate(dBias, tf.sum(gradient, 0))
      })
  }
}
