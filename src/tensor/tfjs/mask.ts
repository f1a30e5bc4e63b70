import type { T, Tfjs } from "./pieces.ts"

/** Queries `from` … `to` of a sequence against keys `low` … `to`, for each of `repeats` heads. */
export interface MaskBlock {
  readonly from: number
  readonly to: number
  readonly low: number
  readonly repeats: number
  readonly window: number
}

/** The number of masks kept: enough for a few shapes of batches. */
const most = 64

/** Causal masks [1, repeats · queries, keys], −∞ where a key is not seen, kept from call to call. */
export const masks = (tf: Tfjs): { readonly of: (block: MaskBlock) => T; readonly release: () => void } => {
  const kept = new Map<string, T>()
  return {
    of: ({ from, low, repeats, to, window }) => {
      // The same mask serves every block whose keys begin as far before its queries.
      const [queries, keys, before] = [to - from, to - low, from - low]
      const key = [queries, keys, repeats, window].join()
      const known = kept.get(key)
      if (known !== undefined) return known
      const values = new Float32Array(repeats * queries * keys)
      for (let row = 0; row < repeats * queries; row++) {
        const query = before + row % queries
        for (let k = 0; k < keys; k++) {
          if (k > query || (window > 0 && k <= query - window)) values[row * keys + k] = -Infinity
        }
      }
      if (kept.size === most) {
        const [oldest, tensor] = kept.entries().next().value!
        tensor.dispose()
        kept.delete(oldest)
      }
      const mask = tf.keep(tf.tensor3d(values, [1, repeats * queries, keys]))
      kept.set(key, mask)
      return mask
    },
    release: () => {
      for (const tensor of kept.values()) tensor.dispose()
      kept.clear()
    }
  }
}
