import type { AttentionShape, Backend, Ints } from "../backend.ts"
import { type MaskBlock, masks } from "./mask.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"
import { type Group, packed, type Sequences, sequences, take } from "./sequences.ts"

/**
 * Causal attention of packed sequences and its gradient. A group of sequences is computed in blocks of queries against the keys
 * that they see: scores exist for a block at a time (about `blockElements` of them), and most masked scores are never computed.
 * The query heads that share a key head stand above one another as the rows of one product.
 */
export const attention = (
  tf: Tfjs,
  { check, derived, integers, kernel, real, room, set }: Memory,
  blockElements: number
): Pick<Backend, "attention" | "attentionBackward"> & { readonly release: () => void } => {
  const { of: maskOf, release } = masks(tf)

  const divided = (name: string, starts: Ints, rows: number): Sequences => {
    const ints = integers(name, "starts", starts)
    const { values } = ints
    check.starts(name, values, rows)
    return derived(ints, "sequences", [], (own) => sequences(tf, values, own))
  }

  /** [count · length, n · headDim] → [count, n, length, headDim] */
  const byHead = (x: T, { count, length }: Group, headDim: number): T =>
    tf.transpose(tf.reshape(x, [count, length, x.shape[1]! / headDim, headDim]), [0, 2, 1, 3])
  const byRow = (x: T): T => {
    const [count, n, length, headDim] = x.shape as [number, number, number, number]
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [count * length, n * headDim])
  }

  const blocksOf = ({ count, length }: Group, { heads, kvHeads, window }: AttentionShape): ReadonlyArray<MaskBlock> => {
    const queries = Math.max(16, Math.floor(blockElements / (count * heads * length)))
    const blocks = Math.ceil(length / queries)
    return Array.from({ length: blocks }, (_, i) => {
      const [from, to] = [Math.floor(length * i / blocks), Math.floor(length * (i + 1) / blocks)]
      return { from, to, low: window > 0 ? Math.max(0, from - window + 1) : 0, repeats: heads / kvHeads, window }
    })
  }

  /** The heads of a group: queries (scaled) [count · kvHeads, repeats, length, headDim], keys and values without `repeats`. */
  const headsOf = (x: T, group: Group, { headDim, heads, kvHeads, scale }: AttentionShape) => {
    const [q, k, v] = tf.split(byHead(x, group, headDim), [heads, kvHeads, kvHeads], 1)
    const [pairs, { length }] = [group.count * kvHeads, group]
    return {
      q: tf.mul(tf.reshape(q!, [pairs, heads / kvHeads, length, headDim]), scale),
      k: tf.reshape(k!, [pairs, length, headDim]),
      v: tf.reshape(v!, [pairs, length, headDim])
    }
  }

  /** x [pairs, repeats, length, dim] cut into blocks of queries [pairs, repeats · queries, dim]. */
  const cut = (x: T, blocks: ReadonlyArray<MaskBlock>): ReadonlyArray<T> => {
    const [pairs, repeats, , dim] = x.shape as [number, number, number, number]
    const parts = blocks.length === 1 ? [x] : tf.split(x, blocks.map(({ from, to }) => to - from), 2)
    return parts.map((part, i) => tf.reshape(part, [pairs, repeats * (blocks[i]!.to - blocks[i]!.from), dim]))
  }
  const join = (parts: ReadonlyArray<T>, blocks: ReadonlyArray<MaskBlock>): T => {
    const whole = parts.map((part, i) => {
      const { from, repeats, to } = blocks[i]!
      return tf.reshape(part, [part.shape[0]!, repeats, to - from, part.shape[2]!])
    })
    return whole.length === 1 ? whole[0]! : tf.concat(whole, 2)
  }
  const seen = (x: T, { low, to }: MaskBlock): T => {
    const [pairs, length, dim] = x.shape as [number, number, number]
    return low === 0 && to === length ? x : tf.slice(x, [0, low, 0], [pairs, to - low, dim])
  }

  /** Scores, and their slope where they are capped: 1 − (score / cap)². */
  const scoresOf = (q: T, k: T, block: MaskBlock, cap: number): { readonly scores: T; readonly slope: T | null } => {
    const plain = tf.matMul(q, k, false, true)
    if (cap === 0) return { scores: tf.add(plain, maskOf(block)), slope: null }
    const turned = tf.tanh(tf.mul(plain, 1 / cap))
    return { scores: tf.add(tf.mul(turned, cap), maskOf(block)), slope: tf.sub(1, tf.square(turned)) }
  }

  const forward = (x: T, group: Group, shape: AttentionShape) => {
    const { q, k, v } = headsOf(x, group, shape)
    const blocks = blocksOf(group, shape)
    const parts = cut(q, blocks).map((queries, i) =>
      tf.tidy(() => {
        const { scores } = scoresOf(queries, seen(k, blocks[i]!), blocks[i]!, shape.cap)
        const p = tf.softmax(scores)
        // The largest probability is e^(largest score − lse).
        const lse = tf.sub(tf.max(scores, 2, true), tf.log(tf.max(p, 2, true)))
        return [tf.matMul(p, seen(v, blocks[i]!)), lse]
      })
    )
    const [outs, lses] = [0, 1].map((part) => parts.map((of) => of[part]!)) as [Array<T>, Array<T>]
    const { count, length } = group
    const { headDim, heads } = shape
    return {
      out: byRow(tf.reshape(join(outs, blocks), [count, heads, length, headDim])),
      lse: byRow(tf.reshape(join(lses, blocks), [count, heads, length, 1]))
    }
  }

  // With p = softmax(scores) and dP = dOut vᵀ: dScores = p · (dP − Σ dOut · out), and products of it with queries and keys.
  const backward = (x: T, dOut: T, out: T, group: Group, shape: AttentionShape): T => {
    const { count, length } = group
    const { headDim, heads, kvHeads, scale } = shape
    const { q, k, v } = headsOf(x, group, shape)
    const blocks = blocksOf(group, shape)
    const queriesLike = (rows: T) => tf.reshape(byHead(rows, group, headDim), q.shape)
    const gradient = queriesLike(dOut)
    const dots = tf.sum(tf.mul(gradient, queriesLike(out)), 3, true)
    const [queries, gradients, projections] = [cut(q, blocks), cut(gradient, blocks), cut(dots, blocks)]
    const dQs: Array<T> = []
    let [dK, dV]: [T | null, T | null] = [null, null]
    const summed = (sum: T | null, part: T, { low, to }: MaskBlock): T => {
      const whole = low === 0 && to === length ? part : tf.pad(part, [[0, 0], [low, length - to], [0, 0]])
      return sum === null ? whole : tf.add(sum, whole)
    }
    blocks.forEach((block, i) => {
      const [dQ, nextK, nextV] = tf.tidy(() => {
        const [keys, values] = [seen(k, block), seen(v, block)]
        const { scores, slope } = scoresOf(queries[i]!, keys, block, shape.cap)
        const p = tf.softmax(scores)
        const dP = tf.matMul(gradients[i]!, values, false, true)
        const plain = tf.mul(p, tf.sub(dP, projections[i]!))
        const dScores = slope === null ? plain : tf.mul(plain, slope)
        return [
          tf.matMul(dScores, keys),
          summed(dK, tf.matMul(dScores, queries[i]!, true, false), block),
          summed(dV, tf.matMul(p, gradients[i]!, true, false), block)
        ]
      })
      dQs.push(dQ!)
      dK?.dispose()
      dV?.dispose()
      dK = nextK!
      dV = nextV!
    })
    const dQ = tf.mul(tf.reshape(join(dQs, blocks), [count, heads, length, headDim]), scale)
    const perKey = [count, kvHeads, length, headDim]
    return byRow(tf.concat([dQ, tf.reshape(dK!, perKey), tf.reshape(dV!, perKey)], 1))
  }

  return {
    attention: (out, lse, qkv, starts, shape) =>
      kernel(() => {
        const name = "attention"
        const { rows, width, ...sizes } = check.attention(name, qkv, shape)
        const to = room(name, "out", out, sizes.out)
        const sums = room(name, "lse", lse, sizes.lse)
        const into = divided(name, starts, rows)
        const x = real(name, "qkv", qkv, [rows, width])
        const parts = into.groups.map((group) => forward(take(tf, x, group), group, shape))
        set(to, packed(tf, parts.map(({ out }) => out), into))
        set(sums, packed(tf, parts.map(({ lse }) => lse), into))
      }),
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) =>
      kernel(() => {
        const name = "attentionBackward"
        const { rows, width, ...sizes } = check.attention(name, qkv, shape)
        const to = room(name, "dQkv", dQkv, sizes.qkv)
        room(name, "lse", lse, sizes.lse)
        const attended = [rows, shape.heads * shape.headDim]
        const into = divided(name, starts, rows)
        const [x, gradient, y] = [
          real(name, "qkv", qkv, [rows, width]),
          real(name, "dOut", dOut, attended),
          real(name, "out", out, attended)
        ]
        const parts = into.groups.map((group) =>
          backward(take(tf, x, group), take(tf, gradient, group), take(tf, y, group), group, shape)
        )
        set(to, packed(tf, parts, into))
      }),
    release
  }
}
