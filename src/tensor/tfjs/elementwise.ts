import type { Backend } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { Tfjs } from "./pieces.ts"
import type { SumOfSquares } from "./sumOfSquares.ts"

export const elementwise = (
  tf: Tfjs,
  { accumulate, aligned, check, kernel, part, real, room, set, tensors }: Memory,
  squares: SumOfSquares
): Pick<Backend, "add" | "copy" | "lerp" | "scale" | "softcap" | "sumSquares" | "zero"> => ({
  add: (out, x) =>
    kernel(() => {
      const [sums, terms] = [room("add", "out", out), room("add", "x", x, out.length)]
      for (const [at, length] of aligned([sums, terms])) {
        accumulate(part(sums, at, length), tf.clone(real("add", "x", part(terms, at, length), [length])))
      }
    }),
  copy: (out, x) =>
    kernel(() => {
      const [to, from] = [room("copy", "out", out), room("copy", "x", x, out.length)]
      // Both share the numbers from here on: there is no copy until one of them changes.
      const parts = tensors(from)
      const whole = parts.length === 1 ? parts[0]! : real("copy", "x", from, [from.length])
      set(to, whole === null ? null : tf.clone(whole))
    }),
  lerp: (out, x, rate) =>
    kernel(() => {
      const [to, from] = [room("lerp", "out", out), room("lerp", "x", x, out.length)]
      for (const [at, length] of aligned([to, from])) {
        const now = (name: string, of: typeof to) => real("lerp", name, part(of, at, length), [length])
        const between = tf.tidy(() => tf.add(tf.mul(now("out", to), 1 - rate), tf.mul(now("x", from), rate)))
        set(part(to, at, length), between)
      }
    }),
  scale: (x, by) =>
    kernel(() => {
      const of = room("scale", "x", x)
      set(of, tf.mul(real("scale", "x", x, [x.length]), by))
    }),
  softcap: (x, cap) =>
    kernel(() => {
      check.softcap(cap)
      const of = room("softcap", "x", x)
      set(of, tf.mul(tf.tanh(tf.mul(real("softcap", "x", x, [x.length]), 1 / cap)), cap))
    }),
  sumSquares: (x) =>
    kernel(() => tensors(room("sumSquares", "x", x)).reduce((sum, one) => sum + (one === null ? 0 : squares(one)), 0)),
  zero: (of) => kernel(() => set(room("zero", "of", of), null))
})
