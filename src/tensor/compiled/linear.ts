import type { Backend, Precision } from "../backend.ts"
import { adding, type Compiled, moving } from "./compiled.ts"

/** Matrix products on addresses, 0 for none; also the logits of the head. */
export interface Products {
  /** out = x wᵀ + bias + residual */
  readonly product: (
    out: number,
    x: number,
    w: number,
    bias: number,
    residual: number,
    rows: number,
    inputs: number,
    outputs: number
  ) => void
  /** dX (+)= dOut w */
  readonly inputGradient: (
    dX: number,
    dOut: number,
    w: number,
    accumulate: boolean,
    rows: number,
    inputs: number,
    outputs: number
  ) => void
  /** dW += dOutᵀ x */
  readonly weightGradient: (
    dW: number,
    dOut: number,
    x: number,
    rows: number,
    inputs: number,
    outputs: number
  ) => void
}

export const products = ({ machine, run }: Compiled, precision: Precision): Products => {
  const suffix = precision === "bf16" ? "_bf16" : ""
  const scratch = machine.ask(`linear${suffix}_scratch`)
  return {
    product: (out, x, w, bias, residual, rows, inputs, outputs) => {
      machine.reserve(scratch)
      run(`linear${suffix}`, 2 * rows * inputs * outputs, [out, x, w, bias, residual, rows, inputs, outputs])
    },
    inputGradient: (dX, dOut, w, accumulate, rows, inputs, outputs) => {
      machine.reserve(scratch)
      run(`linear_input_gradient${suffix}`, 2 * rows * inputs * outputs, [
        dX,
        dOut,
        w,
        Number(accumulate),
        rows,
        inputs,
        outputs
      ])
    },
    weightGradient: (dW, dOut, x, rows, inputs, outputs) => {
      machine.reserve(scratch)
      run(`linear_weight_gradient${suffix}`, 2 * rows * inputs * outputs, [dW, dOut, x, rows, inputs, outputs])
    }
  }
}

/** Linear layers. */
export const linear = (
  { machine, real, run }: Compiled,
  { inputGradient, product, weightGradient }: Products,
  precision: Precision
): Pick<Backend, "linear" | "linearBackward" | "packedLength" | "packWeight" | "linearPacked"> => {
  const suffix = precision === "bf16" ? "_bf16" : ""
  const scratch = machine.ask(`linear${suffix}_scratch`)
  const packedLength = (inputs: number, outputs: number): number =>
    machine.ask(`packed_weight${suffix}`, inputs, outputs)
  return {
    linear: (out, x, w, bias, rows, inputs, outputs, residual = null) =>
      product(
        real("linear", "out", out, rows * outputs),
        real("linear", "x", x, rows * inputs),
        real("linear", "w", w, outputs * inputs),
        bias === null ? 0 : real("linear", "bias", bias, outputs),
        residual === null ? 0 : real("linear", "residual", residual, rows * outputs),
        rows,
        inputs,
        outputs
      ),
    packedLength,
    packWeight: (packed, w, inputs, outputs) => {
      machine.reserve(scratch)
      run(`pack_weight${suffix}`, moving * inputs * outputs, [
        real("packWeight", "packed", packed, packedLength(inputs, outputs)),
        real("packWeight", "w", w, inputs * outputs),
        inputs,
        outputs
      ])
    },
    linearPacked: (out, x, packed, bias, rows, inputs, outputs, residual = null) => {
      const kernel = "linearPacked"
      machine.reserve(scratch)
      run(`linear_packed${suffix}`, 2 * rows * inputs * outputs, [
        real(kernel, "out", out, rows * outputs),
        real(kernel, "x", x, rows * inputs),
        real(kernel, "packed", packed, packedLength(inputs, outputs)),
        bias === null ? 0 : real(kernel, "bias", bias, outputs),
        residual === null ? 0 : real(kernel, "residual", residual, rows * outputs),
        rows,
        inputs,
        outputs
      ])
    },
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
