import type { Backend } from "../backend.ts"
import { adding, type Compiled, exponential, moving } from "./compiled.ts"

/** Elements in one partial sum of squares. */
const sumChunk = 16384

/** The elementwise kernels. */
export const elementwise = (
  { check, machine, real, run }: Compiled
): Pick<
  Backend,
  | "zero"
  | "add"
  | "copy"
  | "lerp"
  | "scale"
  | "softcap"
  | "sumSquares"
  | "swiglu"
  | "swigluBackward"
  | "gelu"
  | "geluBackward"
  | "adamw"
> => {
  return {
    zero: (of) => run("zero", moving * of.length, [real("zero", "of", of), of.length]),
    add: (out, x) =>
      run("add", adding * out.length, [real("add", "out", out), real("add", "x", x, out.length), out.length]),
    copy: (out, x) =>
      run("copy", moving * out.length, [real("copy", "out", out), real("copy", "x", x, out.length), out.length]),
    lerp: (out, x, rate) =>
      run("lerp", adding * out.length, [
        real("lerp", "out", out),
        real("lerp", "x", x, out.length),
        out.length,
        1 - rate,
        rate
      ]),
    scale: (x, by) => run("scale", adding * x.length, [real("scale", "x", x), x.length, by]),
    softcap: (x, cap) => {
      check.softcap(cap)
      run("softcap", exponential * x.length, [real("softcap", "x", x), x.length, cap, 1 / cap])
    },
    sumSquares: (x) => {
      const pointer = real("sumSquares", "x", x)
      const chunks = Math.ceil(x.length / sumChunk)
      const sums = machine.allocate(8 * chunks)
      run("sum_squares", adding * x.length, [sums.pointer, pointer, x.length, sumChunk])
      let sum = 0
      for (const part of machine.readDoubles(sums.pointer, chunks)) sum += part
      machine.free(sums)
      return sum
    },

    swiglu: (out, gateUp, rows, dim) =>
      run("swiglu", exponential * rows * dim, [
        real("swiglu", "out", out, rows * dim),
        real("swiglu", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ]),
    swigluBackward: (dGateUp, dOut, gateUp, rows, dim) =>
      run("swiglu_backward", 1.5 * exponential * rows * dim, [
        real("swigluBackward", "dGateUp", dGateUp, rows * 2 * dim),
        real("swigluBackward", "dOut", dOut, rows * dim),
        real("swigluBackward", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ]),

    gelu: (out, x, { dim, gated, rows, tanh }) =>
      run("gelu", exponential * rows * dim, [
        real("gelu", "out", out, rows * dim),
        real("gelu", "x", x, rows * dim * (gated ? 2 : 1)),
        rows,
        dim,
        Number(gated),
        Number(tanh)
      ]),
    geluBackward: (dX, dOut, x, { dim, gated, rows, tanh }) => {
      const length = rows * dim * (gated ? 2 : 1)
      run("gelu_backward", 2 * exponential * rows * dim, [
        real("geluBackward", "dX", dX, length),
        real("geluBackward", "dOut", dOut, rows * dim),
        real("geluBackward", "x", x, length),
        rows,
        dim,
        Number(gated),
        Number(tanh)
      ])
    },

    adamw: (params, grads, m, v, { beta1, beta2, eps, gradScale, learningRate, step, weightDecay }) => {
      check.adamw(step)
      const length = params.length
      run("adamw", 20 * length, [
        real("adamw", "params", params),
        real("adamw", "grads", grads, length),
        real("adamw", "m", m, length),
        real("adamw", "v", v, length),
        length,
        gradScale,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        learningRate / (1 - beta1 ** step),
        1 / (1 - beta2 ** step),
        eps,
        1 - learningRate * weightDecay
      ])
    }
  }
}
