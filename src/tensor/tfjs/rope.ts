import type { Backend, Tensor } from "../backend.ts"
import { columns } from "./columns.ts"
import type { Memory } from "./memory.ts"
import type { Tfjs } from "./pieces.ts"

/**
 * Rotary embedding (Su et al. 2021, in the half-split layout of Hugging Face). With a head as its two halves [2, half] and R their
 * exchange: x · (cos, cos) + R x · (−sin, sin). The rotation of every element of a row is worked out once for all the layers of a
 * pass; heads behind the rotated heads have angle 0.
 */
export const rope = (tf: Tfjs, { check, derived, int, kernel, real, room, set }: Memory): Pick<Backend, "rope"> => ({
  rope: (x, cos, sin, positions, shape) =>
    kernel(() => {
      const known = check.rope(cos, shape)
      const { headDim, heads, inverse, stride, turned: dim } = shape
      const half = dim / 2
      const rows = positions.length
      const at = int("rope", "positions", positions, known)
      const to = room("rope", "x", x, rows * stride)
      const [cosines, sines] = [real("rope", "cos", cos, [known, half]), real("rope", "sin", sin, [known, half])]
      // Elements of a head that do not turn stand apart from the rotation.
      const partial = dim < headDim
      const whole = !partial && stride % headDim === 0
      const turned = whole ? stride / headDim : heads
      const pairs = [rows * turned, 2, half]
      const { c, s } = derived(at, `rope ${heads} ${turned} ${dim}`, [cosines, sines], (own) => {
        const indices = tf.tensor2d(at.values.slice(), [rows, 1], "int32")
        const still = (turned - heads) * dim
        const spread = (table: typeof cosines, signed: boolean) => {
          const chosen = tf.gatherND(table, indices)
          const head = tf.concat([signed ? tf.neg(chosen) : chosen, chosen], 1)
          const rotated = tf.tile(head, [1, heads])
          const rest = (signed ? tf.zeros : tf.ones)([rows, still])
          return own(tf.reshape(still === 0 ? rotated : tf.concat([rotated, rest], 1), pairs))
        }
        return { c: spread(cosines, false), s: spread(sines, true) }
      })
      const turn = (of: Tensor | null, inside: typeof cosines) => {
        const halves = of === null ? tf.reshape(inside, pairs) : inside
        return (inverse ? tf.sub : tf.add)(tf.mul(halves, c), tf.mul(tf.reverse(halves, 1), s))
      }
      if (whole) return set(to, turn(x, real("rope", "x", x, pairs)))
      const row = real("rope", "x", x, [rows, stride])
      const part = columns(tf, row, 0, heads * headDim)
      if (!partial) return set(to, part.into(row, turn(null, part.inside)))
      const inner = columns(tf, tf.reshape(part.inside, [rows * heads, headDim]), 0, dim)
      set(to, part.into(row, inner.into(tf.reshape(part.inside, [rows * heads, headDim]), turn(null, inner.inside))))
    })
})
