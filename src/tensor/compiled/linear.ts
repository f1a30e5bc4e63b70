import type { Backend, Precision } from "../backend.ts"
import { adding, type Compiled, moving } from "./compiled.ts"

/** Matrix products on addresses, 0 for none; also the logits of the head. */
export const products = ({ machine, run }: Compiled, precision: Precision) => {
  const suffix = precision === "bf16" ? "_bf16" : ""
  const scratch = machine.ask(`linear${suffix}_scratch`)
  const call = (kernel: string, work: number, args: ReadonlyArray<number>): void => {
    machine.reserve(scratch)
    run(kernel + suffix, work, args)
  }
  type Sizes = readonly [rows: number, inputs: number, outputs: number]
  const workOf = ([rows, inputs, outputs]: Sizes): number => 2 * rows * inputs * outputs
  return {
    /** out = x wᵀ + bias + residual, of a weight as it lies (`linear`) or packed (`linear_packed`). */
    product: (
      kernel: "linear" | "linear_packed",
      out: number,
      x: number,
      w: number,
      bias: number,
      residual: number,
      ...sizes: Sizes
    ): void => call(kernel, workOf(sizes), [out, x, w, bias, residual, ...sizes]),
    /** dX (+)= dOut w */
    inputGradient: (dX: number, dOut: number, w: number, accumulate: boolean, ...sizes: Sizes): void =>
      call("linear_input_gradient", workOf(sizes), [dX, dOut, w, Number(accumulate), ...sizes]),
    /** dW += dOutᵀ x */
    weightGradient: (dW: number, dOut: number, x: number, ...sizes: Sizes): void =>
      call("linear_weight_gradient", workOf(sizes), [dW, dOut, x, ...sizes]),
    packedLength: (inputs: number, outputs: number): number => machine.ask(`packed_weight${suffix}`, inputs, outputs),
    pack: (packed: number, w: number, inputs: number, outputs: number): void =>
      call("pack_weight", moving * inputs * outputs, [packed, w, inputs, outputs])
  }
}

export type Products = ReturnType<typeof products>

/** Linear layers. */
export const linear = (
  { real, run }: Compiled,
  { inputGradient, pack, packedLength, product, weightGradient }: Products
): Pick<Backend, "linear" | "linearBackward" | "packedLength" | "packWeight" | "linearPacked"> => {
  const affine = (
    kernel: string,
    of: "linear" | "linear_packed",
    name: string,
    length: (inputs: number, outputs: number) => number
  ): Backend["linear"] =>
  (out, x, w, bias, rows, inputs, outputs, residual = null) =>
    product(
      of,
      real(kernel, "out", out, rows * outputs),
      real(kernel, "x", x, rows * inputs),
      real(kernel, name, w, length(inputs, outputs)),
      bias === null ? 0 : real(kernel, "bias", bias, outputs),
      residual === null ? 0 : real(kernel, "residual", residual, rows * outputs),
      rows,
      inputs,
      outputs
    )
  return {
    linear: affine("linear", "linear", "w", (inputs, outputs) => inputs * outputs),
    packedLength,
    packWeight: (packed, w, inputs, outputs) => {
      const to = real("packWeight", "packed", packed, packedLength(inputs, outputs))
      pack(to, real("packWeight", "w", w, inputs * outputs), inputs, outputs)
    },
    linearPacked: affine("linearPacked", "linear_packed", "packed", packedLength),
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) => {
      const kernel = "linearBackward"
      const gradient = real(kernel, "dOut", dOut, rows * outputs)
      const input = real(kernel, "x", x, rows * inputs)
      const weight = real(kernel, "w", w, outputs * inputs)
      const dX = out.dX === null ? 0 : real(kernel, "dX", out.dX, rows * inputs)
      const dW = out.dW === null ? 0 : real(kernel, "dW", out.dW, outputs * inputs)
      const dBias = out.dBias === null ? 0 : real(kernel, "dBias", out.dBias, outputs)
      if (dX !== 0) inputGradient(dX, gradient, weight, out.accumulate, rows, inputs, outputs)
      if (dW !== 0) weightGradient(dW, gradient, input, rows, inputs, outputs)
      if (dBias !== 0) run("linear_bias_gradient", adding * rows * outputs, [dBias, gradient, rows, outputs])
    }
  }
}
