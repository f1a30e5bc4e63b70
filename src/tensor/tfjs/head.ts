import type { Backend, HeadShape } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

/** The fused head in blocks of rows, so that about `blockElements` logits exist at a time. */
export const head = (
  tf: Tfjs,
  { accumulate, check, derived, int, kernel, real, room, set }: Memory,
  blockElements: number
): Pick<Backend, "head" | "headBackward"> => {
  const sizesOf = ({ rows, vocab }: HeadShape): ReadonlyArray<number> => {
    const blocks = Math.ceil(rows / Math.max(1, Math.floor(blockElements / vocab)))
    return Array.from({ length: blocks }, (_, i) => Math.floor(rows * (i + 1) / blocks) - Math.floor(rows * i / blocks))
  }
  const cut = (x: T, sizes: ReadonlyArray<number>): ReadonlyArray<T> =>
    sizes.length === 1 ? [x] : tf.split(x, [...sizes], 0)
  const join = (parts: ReadonlyArray<T>): T => parts.length === 1 ? parts[0]! : tf.concat([...parts], 0)

  /** z = w h, capped, / temperature, and its slope by w h where it is capped. */
  const logitsOf = (
    hidden: T,
    weight: T,
    { cap, temperature }: HeadShape
  ): { readonly z: T; readonly slope: T | null } => {
    if (cap === 0) {
      return {
        z: tf.matMul(temperature === 1 ? hidden : tf.div(hidden, temperature), weight, false, true),
        slope: null
      }
    }
    const turned = tf.tanh(tf.mul(tf.matMul(hidden, weight, false, true), 1 / cap))
    return { z: tf.mul(turned, cap / temperature), slope: tf.sub(1, tf.square(turned)) }
  }

  return {
    head: (out, h, w, targets, shape) =>
      kernel(() => {
        const name = "head"
        check.head(name, shape)
        const { dim, rows, vocab } = shape
        const to = (["logps", "lse", "entropy"] as const).map((of) => room(name, of, out[of], rows))
        const ids = int(name, "targets", targets, vocab, rows)
        const weight = real(name, "w", w, [vocab, dim])
        const hidden = real(name, "h", h, [rows, dim])
        const sizes = sizesOf(shape)
        const chosen = derived(ids, "targets", [sizes.length], (own) => {
          let at = 0
          return sizes.map((size) => {
            const first = at
            at += size
            const places = Int32Array.from({ length: 2 * size }, (_, i) =>
              i % 2 === 0 ? i >> 1 : ids.values[first + (i >> 1)]!)
            return own(tf.tensor2d(places, [size, 2], "int32"))
          })
        })
        const blocks = cut(hidden, sizes).map((block, i) =>
          tf.tidy(() => {
            const { z } = logitsOf(block, weight, shape)
            const p = tf.softmax(z)
            // The largest probability is e^(largest logit − lse).
            const lse = tf.sub(tf.max(z, 1), tf.log(tf.max(p, 1)))
            return [tf.sub(tf.gatherND(z, chosen[i]!), lse), lse, tf.sub(lse, tf.sum(tf.mul(p, z), 1))]
          })
        )
        to.forEach((of, i) =>
          set(of, join(blocks.map((block) => block[i]!)))
        )
      }),

    // With g = dLogps / temperature: dH = g · (w[target] − p w), dW += Σ g h at the target − pᵀ (g · h).
    headBackward: (out, dLogps, h, w, targets, lse, shape) =>
      kernel(() => {
        const name = "headBackward"
        check.head(name, shape)
        const { dim, rows, temperature, vocab } = shape
        const dH = room(name, "dH", out.dH, rows * dim)
        const dW = out.dW === null ? null : room(name, "dW", out.dW, vocab * dim)
        const ids = int(name, "targets", targets, vocab, rows)
        room(name, "lse", lse, rows)
        const weight = real(name, "w", w, [vocab, dim])
        const hidden = real(name, "h", h, [rows, dim])
        const gradient = tf.mul(real(name, "dLogps", dLogps, [rows, 1]), 1 / temperature)
        const column = derived(ids, "column", [], (own) => own(tf.tensor2d(ids.values.slice(), [rows, 1], "int32")))
        const scaled = tf.mul(hidden, gradient)
        const sizes = sizesOf(shape)
        const weighted = cut(scaled, sizes)
        let spent: T | null = null
        // Capped logits have slopes, so that the target's own row is no gather: dz = (1[target] − p) · slope as a matrix.
        if (shape.cap > 0) {
          const { slope, z } = logitsOf(hidden, weight, shape)
          const dZ = tf.mul(
            tf.mul(tf.sub(tf.oneHot(tf.reshape(column, [rows]), vocab), tf.softmax(z)), slope!),
            gradient
          )
          set(dH, tf.matMul(dZ, weight))
          if (dW !== null) accumulate(dW, tf.matMul(dZ, hidden, true, false))
          return
        }
        const expected = cut(hidden, sizes).map((block, i) => {
          const [mean, next] = tf.tidy(() => {
            const p = tf.softmax(logitsOf(block, weight, shape).z)
            const outer = dW === null ? [] : [tf.matMul(p, weighted[i]!, true, false)]
            return [tf.matMul(p, weight), ...outer.map((one) => spent === null ? one : tf.add(spent, one))]
          })
          if (next !== undefined) {
            spent?.dispose()
            spent = next
          }
          return mean!
        })
        set(dH, tf.mul(gradient, tf.sub(tf.gatherND(weight, column), join(expected))))
        if (dW !== null) accumulate(dW, tf.sub(tf.scatterND(column, scaled, [vocab, dim]), spent!))
      })
  }
}
