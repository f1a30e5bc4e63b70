import type { Backend, Tensor } from "../backend.ts"
import { columns } from "./columns.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

/** Root-mean-square normalisation (Zhang and Sennrich 2019, eq. 4), layer normalisation (Ba et al. 2016, eq. 4), and their gradients. */
export const norm = (
  tf: Tfjs,
  { accumulate, check, kernel, real, room, set }: Memory
): Pick<Backend, "rmsNorm" | "rmsNormBackward" | "layerNorm" | "layerNormBackward"> => {
  const gainOf = (name: string, weight: Tensor, dim: number, plus: number): T => {
    const held = real(name, "weight", weight, [dim])
    return plus === 0 ? held : tf.add(held, plus)
  }
  return {
    rmsNorm: (out, x, weight, inv, shape) =>
      kernel(() => {
        const name = "rmsNorm"
        const sizes = check.norm(name, shape)
        const { dim, eps, groups, offset, plus, rows, stride } = shape
        const to = room(name, "out", out, sizes.x)
        const scales = room(name, "inv", inv, sizes.inv)
        const gain = gainOf(name, weight, dim, plus)
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
        const { dim, groups, offset, plus, rows, stride } = shape
        const to = room(name, "dX", out.dX, rows * stride)
        const dWeight = out.dWeight === null ? null : room(name, "dWeight", out.dWeight, dim)
        const inside = (of: string, tensor: typeof x) =>
          tf.reshape(
            columns(tf, real(name, of, tensor, [rows, stride]), offset, groups * dim).inside,
            [rows * groups, dim]
          )
        const scale = real(name, "inv", inv, [rows * groups, 1])
        const gain = gainOf(name, weight, dim, plus)
        const gradient = inside("dOut", dOut)
        const u = tf.mul(inside("x", x), scale)
        const projected = tf.mul(gradient, u)
        const mean = tf.matMul(projected, tf.reshape(tf.mul(gain, 1 / dim), [dim, 1]))
        let dX = tf.mul(tf.sub(tf.mul(gradient, gain), tf.mul(u, mean)), scale)
        if (out.accumulate) dX = tf.add(dX, inside("dX", out.dX))
        const around = groups * dim === stride ? null : real(name, "dX", out.dX, [rows, stride])
        set(to, around === null ? dX : columns(tf, around, offset, groups * dim).into(around, dX))
        if (dWeight !== null) accumulate(dWeight, tf.sum(projected, 0))
      }),

    layerNorm: (out, x, weight, bias, stats, { dim, eps, rows }) =>
      kernel(() => {
        const name = "layerNorm"
        const [to, kept] = [room(name, "out", out, rows * dim), room(name, "stats", stats, 2 * rows)]
        const input = real(name, "x", x, [rows, dim])
        const mean = tf.mean(input, 1, true)
        const centred = tf.sub(input, mean)
        const inv = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), eps))
        const scaled = tf.mul(tf.mul(centred, inv), real(name, "weight", weight, [dim]))
        set(to, bias === null ? scaled : tf.add(scaled, real(name, "bias", bias, [dim])))
        set(kept, tf.concat([mean, inv], 1))
      }),

    // With u = (x − mean) · inv and d = dOut · weight: dX = inv · (d − mean(d) − u · mean(d · u)), dWeight += Σ dOut · u.
    layerNormBackward: (out, dOut, x, weight, stats, { dim, rows }) =>
      kernel(() => {
        const name = "layerNormBackward"
        const to = room(name, "dX", out.dX, rows * dim)
        const [dWeight, dBias] = [["dWeight", out.dWeight], ["dBias", out.dBias]].map(([of, sums]) =>
          sums === null ? null : room(name, of as string, sums as Tensor, dim)
        ) as [ReturnType<typeof room> | null, ReturnType<typeof room> | null]
        const gradient = real(name, "dOut", dOut, [rows, dim])
        const [mean, inv] = tf.split(real(name, "stats", stats, [rows, 2]), 2, 1) as [T, T]
        const u = tf.mul(tf.sub(real(name, "x", x, [rows, dim]), mean), inv)
        const d = tf.mul(gradient, real(name, "weight", weight, [dim]))
        const less = tf.add(tf.mean(d, 1, true), tf.mul(u, tf.mean(tf.mul(d, u), 1, true)))
        const dX = tf.mul(tf.sub(d, less), inv)
        set(to, out.accumulate ? tf.add(dX, real(name, "dX", out.dX, [rows, dim])) : dX)
        if (dWeight !== null) accumulate(dWeight, tf.sum(tf.mul(gradient, u), 0))
        if (dBias !== null) accumulate(dBias, tf.sum(gradient, 0))
      })
  }
}
