import type { AttentionShape, CacheShape, HeadShape, NormShape, RopeShape, SampleShape, Tensor } from "./backend.ts"

export interface Sized {
  readonly length: number
}

/** The checks of shapes and indices that every backend makes; what they throw names the backend and the kernel. */
export const checks = (backend: string) => {
  const fail = (kernel: string, complaint: string): never => {
    throw new Error(`${backend}.${kernel}: ${complaint}`)
  }

  /** Rows of `width` elements in a tensor that must hold a whole number of them. */
  const rowsOf = (kernel: string, name: string, { length }: Sized, width: number): number => {
    if (!(width > 0) || length % width !== 0) {
      fail(kernel, `${name} has length ${length}, expected a multiple of ${width}`)
    }
    return length / width
  }

  return {
    fail,
    rowsOf,
    /** A buffer that was not freed, of `length` elements where that is given. */
    live: (
      kernel: string,
      name: string,
      buffer: Sized & { readonly allocation: { readonly freed: boolean } },
      length: number | undefined
    ): void => {
      if (buffer.allocation.freed) fail(kernel, `${name} (length ${buffer.length}) was freed`)
      if (length !== undefined && buffer.length !== length) {
        fail(kernel, `${name} has length ${buffer.length}, expected ${length}`)
      }
    },
    range: (kernel: string, name: string, { length }: Sized, start: number, count: number): void => {
      if (!Number.isInteger(start) || !Number.isInteger(count) || start < 0 || count < 0 || start + count > length) {
        fail(kernel, `elements ${start} to ${start + count} do not lie in ${name} of length ${length}`)
      }
    },
    length: (kernel: string, length: number): void => {
      if (!Number.isInteger(length) || length < 0) fail(kernel, `${length} is not a length`)
    },
    /** Integers in `[0, below)`. */
    below: (kernel: string, name: string, values: Int32Array, below: number): void => {
      for (let i = 0; i < values.length; i++) {
        if (values[i]! < 0 || values[i]! >= below) {
          fail(kernel, `${name}[${i}] is ${values[i]}, expected 0 to ${below - 1}`)
        }
      }
    },
    distinct: (kernel: string, rows: Int32Array): void => {
      if (new Set(rows).size !== rows.length) fail(kernel, "rows are not distinct")
    },
    /** Row starts of a packed batch: 0, then not decreasing, then the number of rows. */
    starts: (kernel: string, starts: Int32Array, rows: number): void => {
      let divide = starts[0] === 0 && starts[starts.length - 1] === rows
      for (let b = 1; b < starts.length; b++) divide &&= starts[b]! >= starts[b - 1]!
      if (!divide) fail(kernel, `starts [${starts.join(", ")}] do not divide ${rows} rows`)
    },
    /** Rows of `qkv`, the width of one, and the lengths of what attention reads and writes. */
    attention: (kernel: string, qkv: Tensor, { cap, headDim, heads, kvHeads, window }: AttentionShape) => {
      if (!(kvHeads > 0 && headDim > 0 && heads % kvHeads === 0 && window >= 0 && cap >= 0)) {
        fail(
          kernel,
          `${heads} heads cannot share ${kvHeads} kvHeads (headDim ${headDim}, window ${window}, cap ${cap})`
        )
      }
      const width = (heads + 2 * kvHeads) * headDim
      const rows = rowsOf(kernel, "qkv", qkv, width)
      return { rows, width, qkv: qkv.length, out: rows * heads * headDim, lse: rows * heads }
    },
    /** Slots of a cache of keys. */
    slots: (kernel: string, keys: Tensor, { capacity, headDim, kvHeads }: CacheShape): number =>
      rowsOf(kernel, "keys", keys, capacity * kvHeads * headDim),
    /** Lengths of the input of a norm and of `inv`. */
    norm: (kernel: string, { dim, groups, offset, rows, stride }: NormShape) => {
      if (!(dim > 0 && offset >= 0 && offset + groups * dim <= stride)) {
        fail(kernel, `${groups} groups of ${dim} from ${offset} do not fit in a row of ${stride}`)
      }
      return { x: rows * stride, inv: rows * groups }
    },
    /** Positions in the tables. */
    rope: (cos: Tensor, { headDim, heads, stride, turned }: RopeShape): number => {
      if (!(turned > 0 && turned % 2 === 0 && turned <= headDim)) {
        fail("rope", `${turned} elements of heads of ${headDim} are not even, or too many`)
      }
      if (heads * headDim > stride) fail("rope", `${heads} heads of ${headDim} do not fit in a row of ${stride}`)
      return rowsOf("rope", "cos", cos, turned / 2)
    },
    head: (kernel: string, { cap, temperature, vocab }: HeadShape): void => {
      if (!(temperature > 0 && vocab > 0 && cap >= 0)) {
        fail(kernel, `temperature ${temperature}, vocab ${vocab}, cap ${cap}`)
      }
    },
    softcap: (cap: number): void => {
      if (!(cap > 0)) fail("softcap", `cap ${cap} is not above 0`)
    },
    sample: ({ temperature, vocab }: SampleShape): void => {
      if (!(temperature >= 0 && vocab > 0)) fail("sample", `temperature ${temperature}, vocab ${vocab}`)
    },
    adamw: (step: number): void => {
      if (!(step >= 1)) fail("adamw", `step ${step} is not 1 or more`)
    }
  }
}

export type Checks = ReturnType<typeof checks>
