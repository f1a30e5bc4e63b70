import type { T, Tfjs } from "./pieces.ts"

/** Sequences of about the same length as a batch [count, length]. */
export interface Group {
  readonly count: number
  readonly length: number
  /** Row of the packed batch for each of count · length places, [·, 1]; null when they are the rows as they stand. */
  readonly rows: T | null
  /** Whether some places lie behind the end of their sequence: they read row N, which is zero. */
  readonly padded: boolean
}

export interface Sequences {
  readonly groups: ReadonlyArray<Group>
  /** Place of each packed row among the places of all groups, [N, 1]; null for a single group in the original order. */
  readonly restore: T | null
}

/**
 * A packed batch as few batches of equal lengths: a group takes the sequences of at least half the length of its longest, so that
 * less than half of the computation is padding, and there are at most log₂ of the longest groups.
 */
export const sequences = (tf: Tfjs, starts: Int32Array, own: (tensor: T) => T): Sequences => {
  const count = starts.length - 1
  const rows = starts[count]!
  const lengthOf = (b: number): number => starts[b + 1]! - starts[b]!
  const order = Array.from({ length: count }, (_, b) => b).filter((b) => lengthOf(b) > 0)
  const column = (values: Int32Array): T => own(tf.tensor2d(values, [values.length, 1], "int32"))
  if (order.every((b) => lengthOf(b) === lengthOf(order[0]!))) {
    const group = { count: order.length, length: lengthOf(order[0]!), rows: null, padded: false }
    return { groups: [group], restore: null }
  }
  order.sort((a, b) => lengthOf(b) - lengthOf(a) || a - b)
  const groups: Array<Group> = []
  const restore = new Int32Array(rows)
  let places = 0
  for (let first = 0; first < order.length;) {
    const length = lengthOf(order[first]!)
    let end = first
    while (end < order.length && 2 * lengthOf(order[end]!) >= length) end++
    const chosen = order.slice(first, end)
    const at = new Int32Array(chosen.length * length).fill(rows)
    chosen.forEach((b, i) => {
      for (let t = 0; t < lengthOf(b); t++) {
        at[i * length + t] = starts[b]! + t
        restore[starts[b]! + t] = places + i * length + t
      }
    })
    groups.push({
      count: chosen.length,
      length,
      rows: column(at),
      padded: chosen.some((b) => lengthOf(b) < length)
    })
    places += at.length
    first = end
  }
  return { groups, restore: column(restore) }
}

/** The rows of x [N, width] that a group has, [count · length, width]. */
export const take = (tf: Tfjs, x: T, { padded, rows }: Group): T => {
  if (rows === null) return x
  return tf.gatherND(padded ? tf.concat([x, tf.zeros([1, x.shape[1]!])], 0) : x, rows)
}

/** Packed rows from the places of all groups. */
export const packed = (tf: Tfjs, places: ReadonlyArray<T>, { restore }: Sequences): T =>
  restore === null ? places[0]! : tf.gatherND(tf.concat([...places], 0), restore)
