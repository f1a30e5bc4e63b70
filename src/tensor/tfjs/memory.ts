import type { Host, Ints, Tensor } from "../backend.ts"
import { checks } from "../checks.ts"
import { type Piece, pieces, type T, type Tfjs } from "./pieces.ts"

interface Allocation {
  /** Empty for integers. */
  readonly pieces: Array<Piece>
  readonly bytes: number
  freed: boolean
}

class Reals implements Tensor {
  readonly dtype = "real"
  readonly length: number
  readonly start: number
  readonly allocation: Allocation
  /** A slice is not whole and cannot be freed. */
  readonly whole: boolean
  /** Where its elements were last. */
  piece: Piece | undefined = undefined
  constructor(length: number, start: number, allocation: Allocation, whole: boolean) {
    this.length = length
    this.start = start
    this.allocation = allocation
    this.whole = whole
  }
}

/** Tensors derived from the contents of integers: index tensors, rotations, masks. */
interface Derived {
  readonly from: ReadonlyArray<unknown>
  readonly value: unknown
  readonly tensors: ReadonlyArray<T>
}

class Integers implements Ints {
  readonly dtype = "int"
  readonly length: number
  readonly allocation: Allocation
  /** The host alone writes integers, so they are here; tensors of them are derived. */
  readonly values: Int32Array
  readonly derived = new Map<string, Derived>()
  constructor(length: number, allocation: Allocation) {
    this.length = length
    this.allocation = allocation
    this.values = new Int32Array(length)
  }
}

/** The memory half of the backend, and how kernels get at tensors. A kernel checks all its buffers before it sets any. */
export const makeMemory = (tf: Tfjs) => {
  const { drop, get, kernel, set, within } = pieces(tf)
  const check = checks("tfjs")
  const allocations = new Set<Allocation>()
  let live = 0
  let peak = 0

  const checkLive = (kernel: string, name: string, buffer: Reals | Integers, length?: number): void => {
    check.live(kernel, name, buffer, length)
    if (!allocations.has(buffer.allocation)) check.fail(kernel, `${name} is not of this backend`)
  }

  const room = (kernel: string, name: string, tensor: Tensor, length?: number): Reals => {
    if (!(tensor instanceof Reals)) return check.fail(kernel, `${name} is not a tensor of this backend`)
    checkLive(kernel, name, tensor, length)
    return tensor
  }

  const integers = (kernel: string, name: string, ints: Ints, length?: number): Integers => {
    if (!(ints instanceof Integers)) return check.fail(kernel, `${name} is not integers of this backend`)
    checkLive(kernel, name, ints, length)
    return ints
  }

  const allocate = (kernel: string, length: number, pieces: Array<Piece>): Allocation => {
    check.length(kernel, length)
    const allocation: Allocation = { pieces, bytes: 4 * length, freed: false }
    allocations.add(allocation)
    live += allocation.bytes
    peak = Math.max(peak, live)
    return allocation
  }

  const forget = (ints: Integers): void => {
    for (const { tensors } of ints.derived.values()) for (const tensor of tensors) tensor.dispose()
    ints.derived.clear()
  }

  const holders = new Set<Integers>()

  return {
    ofBackend: {
      reals: (length: number): Tensor => {
        const zeros: Piece = { start: 0, length, tensor: null, live: true }
        return new Reals(length, 0, allocate("reals", length, [zeros]), true)
      },
      ints: (length: number): Ints => {
        const ints = new Integers(length, allocate("ints", length, []))
        holders.add(ints)
        return ints
      },
      free: (buffer: Tensor | Ints): void => {
        const owned = buffer.dtype === "real" ? room("free", "buffer", buffer) : integers("free", "buffer", buffer)
        if (owned instanceof Reals && !owned.whole) check.fail("free", `a slice of length ${owned.length}`)
        const { allocation } = owned
        if (owned instanceof Integers) {
          forget(owned)
          holders.delete(owned)
        } else kernel(() => drop(allocation.pieces))
        allocations.delete(allocation)
        allocation.freed = true
        live -= allocation.bytes
      },
      slice: (of: Tensor, start: number, length: number): Tensor => {
        const whole = room("slice", "of", of)
        check.range("slice", "of", whole, start, length)
        return new Reals(length, whole.start + start, whole.allocation, false)
      },
      write: (to: Tensor, data: Host, at = 0): void => {
        const of = room("write", "to", to)
        check.range("write", "to", of, at, data.length)
        kernel(() =>
          set(of.allocation.pieces, of.start + at, data.length, tf.tensor1d(Float32Array.from(data), "float32"))
        )
      },
      writeInts: (to: Ints, data: Int32Array, at = 0): void => {
        const ints = integers("writeInts", "to", to)
        check.range("writeInts", "to", ints, at, data.length)
        // Batches of one shape have the same positions and starts: tensors derived from them stay.
        if (data.every((value, i) => value === ints.values[at + i])) return
        ints.values.set(data, at)
        forget(ints)
      },
      read: (from: Tensor): Float32Array => {
        const { allocation, length, start } = room("read", "from", from)
        const copy = new Float32Array(length)
        for (const piece of allocation.pieces) {
          const [first, end] = [Math.max(start, piece.start), Math.min(start + length, piece.start + piece.length)]
          if (first >= end || piece.tensor === null) continue
          const data = piece.tensor.dataSync() as Float32Array
          copy.set(data.subarray(first - piece.start, end - piece.start), first - start)
        }
        return copy
      },
      memory: () => ({ live, peak })
    },
    /** Gives back every tensor. */
    release: (): void => {
      kernel(() => {
        for (const { pieces } of allocations) drop(pieces)
      })
      for (const ints of holders) forget(ints)
      allocations.clear()
      holders.clear()
    },
    kernel,
    check,
    /** A buffer that must have `length` elements. */
    room,
    /** The current tensor of a buffer that must have that shape. */
    real: (kernel: string, name: string, tensor: Tensor, shape: ReadonlyArray<number>): T => {
      const buffer = room(kernel, name, tensor, shape.reduce((product, n) => product * n, 1))
      buffer.piece = get(buffer.allocation.pieces, buffer.start, shape, buffer.piece)
      return buffer.piece.tensor!
    },
    set: ({ allocation, length, start }: Reals, tensor: T | null): void =>
      set(allocation.pieces, start, length, tensor),
    /** out += tensor; a zero piece becomes the tensor. */
    accumulate: ({ allocation, length, start }: Reals, tensor: T): void => {
      const parts = within(allocation.pieces, start, length)
      if (parts.every((part) => part.tensor === null)) return set(allocation.pieces, start, length, tensor)
      const { tensor: before } = get(allocation.pieces, start, tensor.shape)
      set(allocation.pieces, start, length, tf.add(before!, tensor))
    },
    /** The pieces of buffers of one length, cut at the same places: [start, length] of each. */
    aligned: (buffers: ReadonlyArray<Reals>): ReadonlyArray<readonly [number, number]> => {
      const [first] = buffers
      const ends = new Set<number>()
      for (const { allocation, length, start } of buffers) {
        for (const piece of within(allocation.pieces, start, length)) ends.add(piece.start + piece.length - start)
      }
      let at = 0
      return [...ends].sort((a, b) => a - b).filter((end) => end <= first!.length).map((end) => {
        const range = [at, end - at] as const
        at = end
        return range
      })
    },
    /** A slice for the kernel itself. */
    part: ({ allocation, start }: Reals, at: number, length: number): Reals =>
      new Reals(length, start + at, allocation, false),
    /** The current shape of a buffer that is a single piece. */
    shape: ({ allocation, length, start }: Reals): ReadonlyArray<number> => {
      const parts = within(allocation.pieces, start, length)
      return parts.length === 1 ? parts[0]!.tensor?.shape ?? [length] : [length]
    },
    /** The tensors of a buffer as they lie, null for zeros. */
    tensors: ({ allocation, length, start }: Reals): ReadonlyArray<T | null> =>
      within(allocation.pieces, start, length).map(({ tensor }) => tensor),

    /** Integers that must have `length` elements, each of them in `[0, below)`. */
    int: (kernel: string, name: string, ints: Ints, below: number, length?: number): Integers => {
      const buffer = integers(kernel, name, ints, length)
      check.below(kernel, name, buffer.values, below)
      return buffer
    },
    integers,
    /**
     * The result of `make` on integers and on `from`, kept until one of them changes. Tensors that it makes are kept by
     * passing them through `own`.
     */
    derived: <A>(
      ints: Integers,
      key: string,
      from: ReadonlyArray<unknown>,
      make: (own: (tensor: T) => T) => A
    ): A => {
      const known = ints.derived.get(key)
      if (known !== undefined) {
        if (known.from.length === from.length && known.from.every((x, i) => x === from[i])) return known.value as A
        for (const tensor of known.tensors) tensor.dispose()
      }
      const tensors: Array<T> = []
      const value = make((tensor) => {
        tensors.push(tf.keep(tensor))
        return tensor
      })
      ints.derived.set(key, { from, value, tensors })
      return value
    }
  }
}

export type Memory = ReturnType<typeof makeMemory>
