import type { Backend, Tensor } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { Tfjs } from "./pieces.ts"

/** silu(gate) · up with silu(x) = x · sigmoid(x) (Shazeer 2020), and its gradient: silu′ = sigmoid + silu · (1 − sigmoid). */
export const swiglu = (tf: Tfjs, { kernel, real, room, set }: Memory): Pick<Backend, "swiglu" | "swigluBackward"> => {
  const halves = (name: string, gateUp: Tensor, rows: number, dim: number) => {
    const [gate, up] = tf.split(real(name, "gateUp", gateUp, [rows, 2 * dim]), 2, 1)
    return { gate: gate!, up: up! }
  }
  return {
    swiglu: (out, gateUp, rows, dim) =>
      kernel(() => {
        const to = room("swiglu", "out", out, rows * dim)
        const { gate, up } = halves("swiglu", gateUp, rows, dim)
        set(to, tf.mul(tf.mul(gate, tf.sigmoid(gate)), up))
      }),
    swigluBackward: (dGateUp, dOut, gateUp, rows, dim) =>
      kernel(() => {
        const name = "swigluBackward"
        const to = room(name, "dGateUp", dGateUp, rows * 2 * dim)
        const gradient = real(name, "dOut", dOut, [rows, dim])
        const { gate, up } = halves(name, gateUp, rows, dim)
        const sigmoid = tf.sigmoid(gate)
        const silu = tf.mul(gate, sigmoid)
        const slope = tf.add(tf.sub(sigmoid, tf.mul(silu, sigmoid)), silu)
        set(to, tf.concat([tf.mul(tf.mul(gradient, up), slope), tf.mul(gradient, silu)], 1))
      })
  }
}
