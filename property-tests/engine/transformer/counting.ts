import type { AttentionShape, Backend, Ints, Tensor } from "../../../src/tensor/backend.ts"

/** What a backend was asked to do. */
export interface Counts {
  /** Multiply-adds of matrix products: rows · inputs · outputs. */
  products: number
  /** Rows that went through products of that many outputs. */
  readonly rows: Map<number, number>
  /** Query–key pairs of one head, forward and in the cache. */
  pairs: number
  /** The same, backward. */
  backwardPairs: number
  /** Calls of `packWeight`. */
  packed: number
  /** Calls of `reals` and `ints`, and of `free`. */
  allocated: number
  freed: number
  /** Longest `read`, elements. */
  longestRead: number
}

/** A backend that counts, and computes as the one given. */
export const counting = (held: Backend): { readonly backend: Backend; readonly counts: Counts; reset: () => void } => {
  const zero = () => ({
    products: 0,
    rows: new Map<number, number>(),
    pairs: 0,
    backwardPairs: 0,
    packed: 0,
    allocated: 0,
    freed: 0,
    longestRead: 0
  })
  const counts: Counts = zero()
  const values = new WeakMap<Ints, Int32Array>()
  const product = (rows: number, inputs: number, outputs: number, times = 1): void => {
    counts.products += times * rows * inputs * outputs
    counts.rows.set(outputs, (counts.rows.get(outputs) ?? 0) + rows)
  }
  const seen = (length: number, { window }: AttentionShape): number => {
    let pairs = 0
    for (let t = 1; t <= length; t++) pairs += window === 0 ? t : Math.min(t, window)
    return pairs
  }
  const blocks = (starts: Ints, shape: AttentionShape): number => {
    const at = values.get(starts)!
    let pairs = 0
    for (let b = 1; b < at.length; b++) pairs += seen(at[b]! - at[b - 1]!, shape)
    return pairs
  }
  const backend: Backend = {
    ...held,
    reals: (length) => {
      counts.allocated++
      return held.reals(length)
    },
    ints: (length) => {
      counts.allocated++
      return held.ints(length)
    },
    free: (buffer) => {
      counts.freed++
      held.free(buffer)
    },
    read: (from: Tensor) => {
      counts.longestRead = Math.max(counts.longestRead, from.length)
      return held.read(from)
    },
    writeInts: (to, data, at) => {
      values.set(to, data.slice())
      held.writeInts(to, data, at)
    },
    linear: (out, x, w, bias, rows, inputs, outputs, residual) => {
      product(rows, inputs, outputs)
      held.linear(out, x, w, bias, rows, inputs, outputs, residual)
    },
    packWeight: (packed, w, inputs, outputs) => {
      counts.packed++
      held.packWeight(packed, w, inputs, outputs)
    },
    linearPacked: (out, x, packed, bias, rows, inputs, outputs, residual) => {
      product(rows, inputs, outputs)
      held.linearPacked(out, x, packed, bias, rows, inputs, outputs, residual)
    },
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) => {
      counts.products += rows * inputs * outputs * ((out.dX === null ? 0 : 1) + (out.dW === null ? 0 : 1))
      held.linearBackward(out, dOut, x, w, rows, inputs, outputs)
    },
    head: (out, h, w, targets, shape) => {
      product(shape.rows, shape.dim, shape.vocab)
      held.head(out, h, w, targets, shape)
    },
    headBackward: (out, dLogps, h, w, targets, lse, shape) => {
      // The logits once more, then the gradients of both factors.
      counts.products += shape.rows * shape.dim * shape.vocab * (out.dW === null ? 2 : 3)
      held.headBackward(out, dLogps, h, w, targets, lse, shape)
    },
    attention: (out, lse, qkv, starts, shape) => {
      counts.pairs += blocks(starts, shape)
      held.attention(out, lse, qkv, starts, shape)
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      counts.backwardPairs += blocks(starts, shape)
      held.attentionBackward(dQkv, dOut, qkv, out, lse, starts, shape)
    },
    attentionDecode: (out, qkv, keys, cached, slots, positions, shape) => {
      for (const position of values.get(positions)!) {
        counts.pairs += shape.window === 0 ? position + 1 : Math.min(position + 1, shape.window)
      }
      held.attentionDecode(out, qkv, keys, cached, slots, positions, shape)
    }
  }
  return { backend, counts, reset: () => void Object.assign(counts, zero()) }
}
