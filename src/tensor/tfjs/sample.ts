import type { Backend } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

/**
 * A token for each row, chosen where the logits are. The cumulative sum is taken over about √vocab blocks and then within the chosen
 * one, from its beginning: float32 then resolves the tail of a large vocabulary, which a sum over all of it does not.
 */
export const sample = (tf: Tfjs, { check, kernel, real, room, set }: Memory): Pick<Backend, "sample"> => {
  const numbers = (n: number): T => tf.range(0, n, 1, "float32")

  /** Index of the first largest, [rows]; any index where there is NaN. */
  const first = (z: T, max: T, vocab: number): T => {
    const other = tf.mul(tf.cast(tf.notEqual(z, max), "float32"), vocab)
    return tf.minimum(tf.min(tf.add(other, numbers(vocab)), 1), vocab - 1)
  }

  /** First index whose cumulative weight exceeds u, among indices with a positive weight; [rows]. */
  const inverse = (weights: T, cumulative: T, u: T): T => {
    const passed = tf.sum(tf.cast(tf.lessEqual(cumulative, u), "float32"), 1)
    const some = tf.cast(tf.greater(weights, 0), "float32")
    return tf.minimum(passed, tf.max(tf.mul(some, numbers(weights.shape[1]!)), 1))
  }

  const pick = (x: T, index: T): T => {
    const [rows] = x.shape as [number, number]
    return tf.gatherND(x, tf.cast(tf.stack([numbers(rows), index], 1), "int32"))
  }

  const draw = (weights: T, uniforms: T): T => {
    const [rows, vocab] = weights.shape as [number, number]
    const width = Math.ceil(Math.sqrt(vocab))
    const count = Math.ceil(vocab / width)
    const padded = count * width === vocab ? weights : tf.pad(weights, [[0, 0], [0, count * width - vocab]])
    const blocks = tf.reshape(padded, [rows, count, width])
    const sums = tf.sum(blocks, 2)
    const total = tf.sum(sums, 1, true)
    const [high, low] = tf.split(uniforms, 2, 1)
    const u = tf.add(tf.mul(high!, total), tf.mul(low!, total))
    const cumulative = tf.cumsum(sums, 1)
    const block = inverse(sums, cumulative, u)
    const before = tf.sub(pick(cumulative, block), pick(sums, block))
    // The first block has no weight before it; elsewhere rounding may leave a rest below zero.
    const rest = tf.relu(tf.add(
      tf.sub(tf.mul(high!, total), tf.reshape(before, [rows, 1])),
      tf.mul(low!, total)
    ))
    const inside = pick(blocks, block)
    return tf.add(tf.mul(block, width), inverse(inside, tf.cumsum(inside, 1), rest))
  }

  return {
    sample: (out, logits, uniforms, shape) =>
      kernel(() => {
        check.sample(shape)
        const { rows, temperature, vocab } = shape
        const to = {
          tokens: room("sample", "tokens", out.tokens, rows),
          logps: room("sample", "logps", out.logps, rows)
        }
        const u = real("sample", "uniforms", uniforms, [rows, 2])
        const z = real("sample", "logits", logits, [rows, vocab])
        const max = tf.max(z, 1, true)
        const above = tf.sub(z, max)
        const weights = tf.exp(above)
        const tokens = temperature === 0
          ? first(z, max, vocab)
          : draw(temperature === 1 ? weights : tf.exp(tf.mul(above, 1 / temperature)), u)
        set(to.logps, tf.sub(pick(above, tokens), tf.log(tf.sum(weights, 1))))
        set(to.tokens, tokens)
      })
  }
}
