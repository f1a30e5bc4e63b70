import type { Backend, GeluShape, Tensor } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

const inner = Math.sqrt(2 / Math.PI)
const cubic = 0.044715

/** x Φ(x) (Hendrycks and Gimpel 2016), times up where there is a gate, and its gradient: gelu′ = Φ + x Φ′. */
export const gelu = (tf: Tfjs, { kernel, real, room, set }: Memory): Pick<Backend, "gelu" | "geluBackward"> => {
  const parts = (name: string, x: Tensor, { dim, gated, rows }: GeluShape): readonly [T, T | null] => {
    const whole = real(name, "x", x, [rows, gated ? 2 * dim : dim])
    return gated ? tf.split(whole, 2, 1) as [T, T] : [whole, null]
  }
  const distribution = (x: T, tanh: boolean): T => {
    const turned = tanh
      ? tf.tanh(tf.mul(tf.mul(x, inner), tf.add(tf.mul(tf.square(x), cubic), 1)))
      : tf.erf(tf.mul(x, Math.SQRT1_2))
    return tf.mul(tf.add(turned, 1), 0.5)
  }
  const density = (x: T, phi: T, tanh: boolean): T =>
    tanh
      ? tf.mul(tf.mul(phi, tf.sub(1, phi)), tf.mul(tf.add(tf.mul(tf.square(x), 3 * cubic), 1), 2 * inner))
      : tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
  return {
    gelu: (out, x, shape) =>
      kernel(() => {
        const to = room("gelu", "out", out, shape.rows * shape.dim)
        const [gate, up] = parts("gelu", x, shape)
        const value = tf.mul(gate, distribution(gate, shape.tanh))
        set(to, up === null ? value : tf.mul(value, up))
      }),
    geluBackward: (dX, dOut, x, shape) =>
      kernel(() => {
        const name = "geluBackward"
        const { dim, gated, rows, tanh } = shape
        const to = room(name, "dX", dX, rows * dim * (gated ? 2 : 1))
        const gradient = real(name, "dOut", dOut, [rows, dim])
        const [gate, up] = parts(name, x, shape)
        const phi = distribution(gate, tanh)
        const own = tf.mul(gradient, tf.add(phi, tf.mul(gate, density(gate, phi, tanh))))
        set(to, up === null ? own : tf.concat([tf.mul(own, up), tf.mul(gradient, tf.mul(gate, phi))], 1))
      })
  }
}
