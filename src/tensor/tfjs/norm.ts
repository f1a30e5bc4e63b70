import type { Backend } from "../backend.ts"
import { columns } from "./columns.ts"
import type { Memory } from "./memory.ts"
import type { Tfjs } from "./pieces.ts"

/** Root-mean-square normalisation (Zhang and Sennrich 2019, eq. 4) and its gradient. */
export const norm = (
  tf: Tfjs,
  { accumulate, check, kernel, real, room, set }: Memory
): Pick<Backend, "rmsNorm" | "rmsNormBackward"> => {
  return {
    rmsNorm: (out, x, weight, inv, shape) =>
      kernel(() => {
        const name = "rmsNorm"
        const sizes = check.norm(name, shape)
        const { dim, eps, groups, offset, rows, stride } = shape
        const to = room(name, "out", out, sizes.x)
        const scales = room(name, "inv", inv, sizes.inv)
        const gain = real(name, "weight", weight, [dim])
        const input = columns(tf, real(name, "x", x, [rows, stride]), offset, groups * dim)
        const u = tf.reshape(input.inside, [rows * groups, dim])
        const scale = tf.rsqrt(tf.add(tf.mean(tf.square(u), 1, true), eps))
        const normed = tf.mul(tf.mul(u, scale), gain)
        set(to, groups * dim === stride ? normed : input.into(real(name, "out", out, [rows, stride]), normed))
        set(scales, scale)
      }),

    // With u = x · inv and d = dOut · weight: dX = inv · (d − u · mean(d · u)), dWeight += Σ dOut · u.
    rmsNormBackward: (out, dOut, x, weight, inv, shape) =>
      kernel(() => {
        const name = "rmsNormBackward"
        check.norm(name, shape)
        const { dim, groups, offset, rows, stride } = shape
        const to = room(name, "dX", out.dX, rows * stride)
        const dWeight = out.dWeight === null ? null : room(name, "dWeight", out.dWeight, dim)
        const inside = (of: string, tensor: typeof x) =>
          tf.reshape(
            columns(tf, real(name, of, tensor, [rows, stride]), offset, groups * dim).inside,
            [rows * groups, dim]
          )
        const scale = real(name, "inv", inv, [rows * groups, 1])
        const gain = real(name, "weight", weight, [dim])
        const gradient = inside("dOut", dOut)
        const u = tf.mul(inside("x", x), scale)
        const projected = tf.mul(gradient, u)
        const mean = tf.matMul(projected, tf.reshape(tf.mul(gain, 1 / dim), [dim, 1]))
        let dX = tf.mul(tf.sub(tf.mul(gradient, gain), tf.mul(u, mean)), scale)
        if (out.accumulate) dX = tf.add(dX, inside("dX", out.dX))
        const around = groups * dim === stride ? null : real(name, "dX", out.dX, [rows, stride])
        set(to, around === null ? dX : columns(tf, around, offset, groups * dim).into(around, dX))
        if (dWeight !== null) accumulate(dWeight, tf.sum(projected, 0))
      })
  }
}
