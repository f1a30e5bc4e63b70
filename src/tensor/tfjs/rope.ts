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
      const { headDim, heads, inverse, stride } = shape
      const half = headDim / 2
      const rows = positions.length
      const at = int("rope", "positions", positions, known)
      const to = room("rope", "x", x, rows * stride)
      const [cosines, sines] = [real("rope", "cos", cos, [known, half]), real("rope", "sin", sin, [known, half])]
      const whole = stride % headDim === 0
      const turned = whole ? stride / headDim : heads
      const pairs = [rows * turned, 2, half]
      const { c, s } = derived(at, `rope ${heads} ${turned} ${headDim}`, [cosines, sines], (own) => {
        const indices = tf.tensor2d(at.values.slice(), [rows, 1], "int32")
        const still = (turned - heads) * headDim
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
      set(to, part.into(row, turn(null, part.inside)))
    })
})
