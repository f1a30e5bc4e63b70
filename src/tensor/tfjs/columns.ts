import type { T, Tfjs } from "./pieces.ts"

/** The columns `from` … `from + width` of a matrix, and how to put others in their place. */
export interface Columns {
  readonly inside: T
  /** The matrix `around` with `inside` in the place of these columns. */
  readonly into: (around: T, inside: T) => T
}

/** Columns of x [rows, width]. All of them are x itself. */
export const columns = (tf: Tfjs, x: T, from: number, width: number): Columns => {
  const [rows, all] = x.shape as [number, number]
  if (from === 0 && width === all) return { inside: x, into: (_, inside) => tf.reshape(inside, [rows, all]) }
  const sizes = [from, width, all - from - width]
  const split = (of: T): ReadonlyArray<T> => tf.split(of, sizes, 1)
  return {
    inside: split(x)[1]!,
    into: (around, inside) => {
      const [before, , after] = split(around)
      return tf.concat([before!, tf.reshape(inside, [rows, width]), after!].filter(({ size }) => size > 0), 1)
    }
  }
}
