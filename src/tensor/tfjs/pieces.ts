import type * as Tf from "@tensorflow/tfjs-core"

export type Tfjs = typeof Tf
export type T = Tf.Tensor

/** Elements `start` … `start + length` of an allocation; `tensor` null stands for zeros, which take no memory until they are read. */
export interface Piece {
  readonly start: number
  readonly length: number
  tensor: T | null
  /** False once it was replaced. */
  live: boolean
}

/**
 * A buffer of the interface. A tensor of TensorFlow.js never changes, so a buffer is a row of pieces that stand one after
 * the other, each the current tensor of its elements. A slice that is used becomes a piece of its own: parameters, gradients and
 * moments, which are flat buffers, fall apart into the matrices of the model at first use, without later copies.
 */
export interface Pieces {
  /** Elements `start` … of a buffer as a tensor of that shape. It belongs to the buffer and lives until the kernel ends. */
  readonly get: (of: Array<Piece>, start: number, shape: ReadonlyArray<number>, hint?: Piece) => Piece
  /** Puts a tensor (or zeros) in the place of `length` elements from `start`. */
  readonly set: (of: Array<Piece>, start: number, length: number, tensor: T | null) => void
  /** The pieces of a range; the pieces at its ends are cut to its bounds. */
  readonly within: (of: Array<Piece>, start: number, length: number) => ReadonlyArray<Piece>
  /** Gives the tensors back when the kernel ends. */
  readonly drop: (of: Array<Piece>) => void
  /** Runs a kernel: at its end, replaced tensors and tensors outside of buffers are disposed. */
  readonly kernel: <A>(run: () => A) => A
}

/** Index of the piece that holds element `at`. */
const indexOf = (of: ReadonlyArray<Piece>, at: number): number => {
  let low = 0
  let high = of.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (of[middle]!.start <= at) low = middle
    else high = middle - 1
  }
  return low
}

const hasShape = (tensor: T, shape: ReadonlyArray<number>): boolean => {
  const own = tensor.shape
  if (own.length !== shape.length) return false
  for (let i = 0; i < own.length; i++) if (own[i] !== shape[i]) return false
  return true
}

export const pieces = (tf: Tfjs): Pieces => {
  // Replaced tensors may still be inputs of the kernel that replaces them.
  const replaced: Array<T> = []
  const discard = (piece: Piece): void => {
    piece.live = false
    if (piece.tensor !== null) replaced.push(piece.tensor)
  }
  const held = (start: number, length: number, tensor: T | null): Piece => ({
    start,
    length,
    tensor: tensor === null ? null : tf.keep(tensor),
    live: true
  })
  /** Part of a piece as a piece. */
  const part = ({ start, tensor }: Piece, from: number, to: number): Piece =>
    held(
      from,
      to - from,
      tensor === null ? null : tf.slice(tf.reshape(tensor, [tensor.size]), [from - start], [to - from])
    )

  const splice = (of: Array<Piece>, start: number, length: number, by: ReadonlyArray<Piece>): void => {
    const end = start + length
    const first = indexOf(of, start)
    let last = first
    while (last + 1 < of.length && of[last + 1]!.start < end) last++
    const [head, tail] = [of[first]!, of[last]!]
    const kept = [...by]
    if (head.start < start) kept.unshift(part(head, head.start, start))
    if (tail.start + tail.length > end) kept.push(part(tail, end, tail.start + tail.length))
    for (let i = first; i <= last; i++) discard(of[i]!)
    of.splice(first, last - first + 1, ...kept)
  }

  const find = (of: Array<Piece>, start: number, length: number): Piece => {
    const one = of[indexOf(of, start)]!
    if (one.start === start && one.length === length) return one
    const flat: Array<T> = []
    for (const piece of within(of, start, length)) {
      flat.push(piece.tensor === null ? tf.zeros([piece.length]) : tf.reshape(piece.tensor, [piece.length]))
    }
    const whole = held(start, length, flat.length === 1 ? flat[0]! : tf.concat(flat))
    splice(of, start, length, [whole])
    return whole
  }

  const within = (of: Array<Piece>, start: number, length: number): ReadonlyArray<Piece> => {
    if (length === 0) return []
    for (const at of [start, start + length]) {
      const piece = of[indexOf(of, at)]!
      const end = piece.start + piece.length
      if (piece.start < at && at < end) {
        splice(of, piece.start, piece.length, [part(piece, piece.start, at), part(piece, at, end)])
      }
    }
    const first = indexOf(of, start)
    let last = first
    while (last + 1 < of.length && of[last + 1]!.start < start + length) last++
    return of.slice(first, last + 1)
  }

  return {
    get: (of, start, shape, hint) => {
      const length = shape.reduce((product, n) => product * n, 1)
      if (length === 0) return { start, length, tensor: tf.zeros([...shape]), live: false }
      const piece = hint?.live === true && hint.length === length ? hint : find(of, start, length)
      if (piece.tensor === null) piece.tensor = tf.keep(tf.zeros([...shape]))
      else if (!hasShape(piece.tensor, shape)) {
        replaced.push(piece.tensor)
        piece.tensor = tf.keep(tf.reshape(piece.tensor, [...shape]))
      }
      return piece
    },
    set: (of, start, length, tensor) => {
      if (length === 0) return
      const piece = of[indexOf(of, start)]!
      if (piece.start === start && piece.length === length) {
        if (piece.tensor !== null) replaced.push(piece.tensor)
        piece.tensor = tensor === null ? null : tf.keep(tensor)
      } else splice(of, start, length, [held(start, length, tensor)])
    },
    within,
    drop: (of) => {
      for (const piece of of) discard(piece)
      of.length = 0
    },
    kernel: (run) => {
      const scope = tf.engine()
      scope.startScope("kernel")
      try {
        return run()
      } finally {
        scope.endScope()
        for (const tensor of replaced) tensor.dispose()
        replaced.length = 0
      }
    }
  }
}
