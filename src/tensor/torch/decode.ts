import type { Backend, CacheShape } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Int, Memory, Real } from "./memory.ts"

/**
 * Key heads that one product takes at a time: their queries stand in a matrix that is 0 outside its own key head, so that the cache is
 * multiplied as it lies, [tokens, heads · headDim], at the price of so many times the arithmetic.
 */
const headsTogether = 4

/** Keys or values of each row: heads [first, first + count) as [rows, tokens, count · headDim], or with the last two exchanged. */
interface Readable {
  readonly straight: (first: number, count: number) => Handle
  readonly turned: (first: number, count: number) => Handle
}

/** The first token that the token at `position` sees. */
const firstSeen = (position: number, window: number): number => window === 0 ? 0 : Math.max(0, position - window + 1)

/** A token of each of some sequences, against a cache of the tokens before it. */
export const decode = (aten: Aten, memory: Memory): Pick<Backend, "cacheWrite" | "attentionDecode"> => {
  const { as, baddbmm, bmm, constant, copy, indexCopy, mul, room, run, select, softmax, zero } = aten
  const { cached, check, derived, empty, int, output, real, upload, values, view } = memory

  const contents = (of: Int): string => values(of).join()

  /** Rows slots[i] · capacity + positions[i] of a cache. */
  const places = (slots: Int, positions: Int, capacity: number): Handle =>
    derived(positions, `places ${capacity} ${contents(slots)}`, () => {
      const [slot, at] = [values(slots), values(positions)]
      return [upload(BigInt64Array.from(slot, (s, i) => BigInt(s * capacity + at[i]!)), [slot.length])]
    })[0]!

  /** The tokens that any row sees, and −∞ for each row at the tokens that it does not see; 0 when all rows see all. */
  const sight = (positions: Int, window: number) => {
    const at = values(positions)
    const firstOf = (position: number): number => firstSeen(position, window)
    const [from, to] = [Math.min(...Array.from(at, firstOf)), Math.max(...at) + 1]
    const tokens = to - from
    const same = at.every((position) => position + 1 === to && firstOf(position) === from)
    const mask = (): Handle =>
      derived(positions, `mask ${window}`, () => {
        const data = new Float32Array(at.length * tokens).fill(-Infinity)
        at.forEach((position, i) =>
          data.fill(0, i * tokens + firstOf(position) - from, i * tokens + position + 1 - from)
        )
        return [upload(data, [at.length, 1, tokens])]
      })[0]!
    return { from, tokens, mask: same ? null : mask }
  }

  /**
   * In place when the rows are the slots of the cache in order and only finite numbers can stand where a row does not look
   * (0 · NaN is NaN); otherwise a copy, with the row's first token in place of the tokens that it does not see.
   */
  const readable = (
    of: Real,
    slots: Int,
    positions: Int,
    { capacity, headDim, kvHeads, window }: CacheShape,
    { from, mask, tokens }: ReturnType<typeof sight>
  ): Readable => {
    const width = kvHeads * headDim
    const [slot, at] = [values(slots), values(positions)]
    const rows = slot.length
    const inPlace = slot.every((s, i) => s === i) && (mask === null || of.allocation.pristine)
    const copied = (): Handle => {
      const which = derived(positions, `read ${capacity} ${window} ${contents(slots)}`, () => {
        const places = new BigInt64Array(rows * tokens)
        slot.forEach((s, i) => {
          const first = firstSeen(at[i]!, window)
          for (let t = 0; t < tokens; t++) {
            const seen = from + t >= first && from + t <= at[i]!
            places[i * tokens + t] = BigInt(s * capacity + (seen ? from + t : first))
          }
        })
        return [upload(places, [places.length])]
      })[0]!
      const copy = room([rows * tokens, width])
      select(copy, view(of, [of.length / width, width]), which)
      return copy
    }
    const [handle, stride, start] = inPlace
      ? [of.allocation.root, capacity * width, of.start + from * width] as const
      : [copied(), tokens * width, 0] as const
    // Each is asked for once: with every token it is another.
    return {
      straight: (first, count) =>
        as(handle, [rows, tokens, count * headDim], [stride, width, 1], start + first * headDim),
      turned: (first, count) => as(handle, [rows, count * headDim, tokens], [stride, 1, width], start + first * headDim)
    }
  }

  const spread = new Map<string, { readonly handle: Handle; readonly rows: number }>()
  /**
   * A matrix [rows, heads, wide] that is 0 but where the query heads of a key head meet its own numbers; always the same memory, whose
   * zeros stay.
   */
  const zeros = (rows: number, count: number, heads: number, wide: number): Handle => {
    const key = `${count} ${heads} ${wide}`
    const known = spread.get(key)
    if (known !== undefined && known.rows >= rows) return known.handle
    if (known !== undefined) aten.keep(known.handle)
    const handle = empty([rows, heads, wide])
    zero(handle)
    spread.set(key, { handle, rows })
    return handle
  }

  return {
    cacheWrite: (keys, values, qkv, slots, positions, shape) => {
      const kernel = "cacheWrite"
      const { rows, width } = check.attention(kernel, qkv, shape)
      const { capacity, headDim, heads, kvHeads } = shape
      const all = check.slots(kernel, keys, shape)
      const size = kvHeads * headDim
      const from = real(kernel, "qkv", qkv)
      const into = [cached(kernel, "keys", keys), cached(kernel, "values", values, keys.length)] as const
      const where = places(
        int(kernel, "slots", slots, all, rows),
        int(kernel, "positions", positions, capacity, rows),
        capacity
      )
      run(kernel, [rows, kvHeads, headDim, capacity], () =>
        into.forEach((cache, i) =>
          indexCopy(
            view(cache, [all * capacity, size]),
            where,
            view(from, [rows, size], [width, 1], heads * headDim + i * size)
          )
        ))
    },
    attentionDecode: (out, qkv, keys, values, slots, positions, shape) => {
      const kernel = "attentionDecode"
      const sizes = check.attention(kernel, qkv, shape)
      const { rows, width } = sizes
      const { cap, capacity, headDim, heads, kvHeads, scale } = shape
      const from = real(kernel, "qkv", qkv)
      const to = output(kernel, "out", out, sizes.out)
      const [keyCache, valueCache] = [real(kernel, "keys", keys), real(kernel, "values", values, keys.length)]
      const slot = int(kernel, "slots", slots, check.slots(kernel, keys, shape), rows)
      const at = int(kernel, "positions", positions, capacity, rows)
      run(kernel, [rows, heads, kvHeads, headDim, capacity], () => {
        const seen = sight(at, shape.window)
        const ratio = heads / kvHeads
        const [k, v] = [keyCache, valueCache].map((of) => readable(of, slot, at, shape, seen)) as [Readable, Readable]
        for (let first = 0; first < kvHeads; first += headsTogether) {
          const count = Math.min(headsTogether, kvHeads - first)
          const [tall, wide] = [count * ratio, count * headDim]
          const diagonal = (of: Handle): Handle =>
            as(of, [rows, count, ratio, headDim], [tall * wide, ratio * wide + headDim, wide, 1])
          const own = (of: Real, row: number): Handle =>
            view(of, [rows, count, ratio, headDim], [row, ratio * headDim, headDim, 1], first * ratio * headDim)
          const queries = zeros(rows, count, tall, wide)
          mul(diagonal(queries), own(from, width), constant(scale))
          const query = as(queries, [rows, tall, wide])
          // Without gaps: libtorch makes products into other memory one matrix at a time.
          const scores = room([rows, tall, seen.tokens])
          if (cap > 0 || seen.mask === null) bmm(scores, query, k.turned(first, count))
          if (cap > 0) aten.softcap(scores, cap)
          if (seen.mask !== null && cap > 0) {
            aten.add(scores, as(seen.mask(), [rows, tall, seen.tokens], [seen.tokens, 0, 1]))
          } else if (seen.mask !== null) {
            baddbmm(
              scores,
              as(seen.mask(), [rows, tall, seen.tokens], [seen.tokens, 0, 1]),
              query,
              k.turned(first, count)
            )
          }
          softmax(scores, scores)
          const product = room([rows, tall, wide])
          bmm(product, scores, v.straight(first, count))
          copy(own(to, heads * headDim), diagonal(product))
        }
      })
    }
  }
}
