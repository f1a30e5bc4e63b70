import type { Backend, CacheShape, Ints, Tensor } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

/**
 * The cache of keys and values, and attention of one query a slot against it. Tensors do not change, so a step writes its rows into
 * a copy of the cache: as many bytes as attention reads anyway.
 *
 * Keys stay as they lie, [slots, positions, kvHeads · headDim]: a query is spread over the width of all key heads with zeros where
 * it sees another one's keys, and the answer is taken from the columns of its own. That is kvHeads times the arithmetic, which
 * decoding has to spare, and no transposed copy of the cache.
 */
export const cache = (
  tf: Tfjs,
  { check, derived, int, kernel, real, room, set }: Memory
): Pick<Backend, "attentionDecode" | "cacheWrite"> & { readonly release: () => void } => {
  /** [1, heads, kvHeads, 1]: 1 where a query head reads that key head. */
  const owners = new Map<string, T>()
  const owner = (heads: number, kvHeads: number): T => {
    const key = `${heads} ${kvHeads}`
    let known = owners.get(key)
    if (known === undefined) {
      const values = new Float32Array(heads * kvHeads)
      for (let h = 0; h < heads; h++) values[h * kvHeads + Math.floor(h * kvHeads / heads)] = 1
      owners.set(key, known = tf.keep(tf.tensor4d(values, [1, heads, kvHeads, 1])))
    }
    return known
  }

  const checked = (
    name: string,
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Ints,
    positions: Ints,
    shape: CacheShape
  ) => {
    const { capacity, headDim, heads, kvHeads } = shape
    const { rows, width: all } = check.attention(name, qkv, shape)
    const count = check.slots(name, keys, shape)
    const width = kvHeads * headDim
    const held = [count, capacity, width]
    room(name, "values", values, keys.length)
    const [q, k, v] = tf.split(real(name, "qkv", qkv, [rows, all]), [heads * headDim, width, width], 1)
    return {
      rows,
      width,
      count,
      slots: int(name, "slots", slots, count, rows),
      positions: int(name, "positions", positions, capacity, rows),
      held: { keys: () => real(name, "keys", keys, held), values: () => real(name, "values", values, held) },
      q: q!,
      k: k!,
      v: v!
    }
  }

  return {
    cacheWrite: (keys, values, qkv, slots, positions, shape) =>
      kernel(() => {
        const at = checked("cacheWrite", qkv, keys, values, slots, positions, shape)
        const places = Int32Array.from({ length: 2 * at.rows }, (_, i) =>
          (i % 2 === 0 ? at.slots : at.positions).values[i >> 1]!)
        const indices = derived(at.positions, "places", [at.slots.values.join()], (own) =>
          own(tf.tensor2d(places, [at.rows, 2], "int32")))
        set(room("cacheWrite", "keys", keys), tf.tensorScatterUpdate(at.held.keys(), indices, at.k))
        set(room("cacheWrite", "values", values), tf.tensorScatterUpdate(at.held.values(), indices, at.v))
      }),

    attentionDecode: (out, qkv, keys, values, slots, positions, shape) =>
      kernel(() => {
        const name = "attentionDecode"
        const { cap, headDim, heads, kvHeads, scale, window } = shape
        const at = checked(name, qkv, keys, values, slots, positions, shape)
        const { rows, width } = at
        const to = room(name, "out", out, rows * heads * headDim)
        const where = at.positions.values
        const high = where.reduce((most, position) => Math.max(most, position), 0) + 1
        const least = where.reduce((least, position) => Math.min(least, position), high)
        const low = window > 0 ? Math.max(0, least - window + 1) : 0
        const span = high - low
        const inOrder = at.count === rows && at.slots.values.every((slot, i) => slot === i)
        const chosen = inOrder
          ? null
          : derived(at.slots, "column", [], (own) => own(tf.tensor2d(at.slots.values.slice(), [rows, 1], "int32")))
        const visible = (held: T): T => {
          const part = span === shape.capacity ? held : tf.slice(held, [0, low, 0], [at.count, span, width])
          return chosen === null ? part : tf.gatherND(part, chosen)
        }
        // Rows at a common position see the whole slice.
        const masked = least + 1 === high ? null : derived(at.positions, "decode", [window, heads, width], (own) => {
          const seen = Float32Array.from({ length: rows * span }, (_, i) => {
            const [position, key] = [where[Math.floor(i / span)]!, low + i % span]
            return key <= position && (window === 0 || key > position - window) ? 1 : 0
          })
          const flags = tf.cast(tf.tensor2d(seen, [rows, span]), "bool")
          return {
            scores: own(tf.tile(tf.reshape(flags, [rows, 1, span]), [1, heads, 1])),
            values: own(tf.tile(tf.reshape(flags, [rows, span, 1]), [1, 1, width]))
          }
        })
        const own = kvHeads === 1 ? null : owner(heads, kvHeads)
        const q = tf.reshape(tf.mul(at.q, scale), [rows, heads, 1, headDim])
        const spread = tf.reshape(own === null ? q : tf.mul(q, own), [rows, heads, width])
        let scores = tf.matMul(spread, visible(at.held.keys()), false, true)
        if (cap > 0) scores = tf.mul(tf.tanh(tf.mul(scores, 1 / cap)), cap)
        let read = visible(at.held.values())
        if (masked !== null) {
          // An unseen number may be NaN, so it is replaced and not multiplied by zero.
          scores = tf.where(masked.scores, scores, tf.mul(tf.ones([rows, heads, span]), -Infinity))
          read = tf.where(masked.values, read, tf.zeros([rows, span, width]))
        }
        const all = tf.matMul(tf.softmax(scores), read)
        const answer = own === null ? all : tf.sum(tf.mul(tf.reshape(all, [rows, heads, kvHeads, headDim]), own), 2)
        set(to, tf.reshape(answer, [rows, heads * headDim]))
      }),

    release: () => {
      for (const tensor of owners.values()) tensor.dispose()
      owners.clear()
    }
  }
}
