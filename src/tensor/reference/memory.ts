import type { Host, Ints, Tensor } from "../backend.ts"
import { checks } from "../checks.ts"

/** The memory that `free` gives back; slices share it, so that a use after `free` is caught. */
interface Allocation {
  readonly bytes: number
  freed: boolean
}

interface RealBuffer extends Tensor {
  readonly data: Float64Array
  readonly allocation: Allocation
  readonly whole: boolean
}

interface IntBuffer extends Ints {
  readonly data: Int32Array
  readonly allocation: Allocation
}

export const check = checks("reference")

const checkLive = (kernel: string, name: string, buffer: RealBuffer | IntBuffer, length?: number): void => {
  if (!(buffer.data instanceof Float64Array) && !(buffer.data instanceof Int32Array)) {
    check.fail(kernel, `${name} is not a buffer of the reference backend`)
  }
  check.live(kernel, name, buffer, length)
}

/** The numbers of a live tensor that must have `length` elements. */
export const realsOf = (kernel: string, name: string, tensor: Tensor, length?: number): Float64Array => {
  const buffer = tensor as RealBuffer
  checkLive(kernel, name, buffer, length)
  return buffer.data
}

/** The numbers of live integers that must have `length` elements, each of them in `[0, below)`. */
export const intsOf = (kernel: string, name: string, ints: Ints, below: number, length?: number): Int32Array => {
  const buffer = ints as IntBuffer
  checkLive(kernel, name, buffer, length)
  check.below(kernel, name, buffer.data, below)
  return buffer.data
}

/**
 * Memory of the reference backend. Fresh buffers hold NaN (reals) and the most negative integer (ints), so that whatever is
 * read before it is written shows in the result or is refused as out of range.
 */
export const makeMemory = () => {
  let live = 0
  let peak = 0

  const allocate = (bytes: number): Allocation => {
    live += bytes
    peak = Math.max(peak, live)
    return { bytes, freed: false }
  }

  const reals = (length: number): Tensor => {
    check.length("reals", length)
    const data = new Float64Array(length).fill(NaN)
    const buffer: RealBuffer = { dtype: "real", length, data, allocation: allocate(data.byteLength), whole: true }
    return buffer
  }

  const ints = (length: number): Ints => {
    check.length("ints", length)
    const data = new Int32Array(length).fill(-(2 ** 31))
    const buffer: IntBuffer = { dtype: "int", length, data, allocation: allocate(data.byteLength) }
    return buffer
  }

  const free = (buffer: Tensor | Ints): void => {
    const owned = buffer as RealBuffer | IntBuffer
    checkLive("free", "buffer", owned)
    if (owned.dtype === "real" && !owned.whole) check.fail("free", `a slice of length ${owned.length}`)
    owned.allocation.freed = true
    live -= owned.allocation.bytes
  }

  const slice = (of: Tensor, start: number, length: number): Tensor => {
    const data = realsOf("slice", "of", of)
    check.range("slice", "of", data, start, length)
    const buffer: RealBuffer = {
      dtype: "real",
      length,
      data: data.subarray(start, start + length),
      allocation: (of as RealBuffer).allocation,
      whole: false
    }
    return buffer
  }

  const write = (to: Tensor, data: Host, at = 0): void => {
    const target = realsOf("write", "to", to)
    check.range("write", "to", target, at, data.length)
    target.set(data, at)
  }

  const writeInts = (to: Ints, data: Int32Array, at = 0): void => {
    const buffer = to as IntBuffer
    checkLive("writeInts", "to", buffer)
    check.range("writeInts", "to", buffer, at, data.length)
    buffer.data.set(data, at)
  }

  const read = (from: Tensor): Host => realsOf("read", "from", from).slice()

  const memory = () => ({ live, peak })

  return { reals, ints, free, slice, write, writeInts, read, memory }
}
