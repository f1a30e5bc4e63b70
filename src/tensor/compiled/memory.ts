import type { Host, Ints, Tensor } from "../backend.ts"
import type { Block, Machine } from "./machine.ts"

interface Allocation {
  readonly block: Block
  /** The contents of integers: only the host writes them, so they are checked without reading them back. */
  readonly integers: Int32Array | null
  freed: boolean
}

/** A tensor or integers of this backend: `pointer` is its address. */
class Buffer<Type extends "real" | "int"> {
  readonly dtype: Type
  readonly length: number
  readonly pointer: number
  readonly allocation: Allocation
  /** A slice is not whole and cannot be freed. */
  readonly whole: boolean
  constructor(dtype: Type, length: number, pointer: number, allocation: Allocation, whole: boolean) {
    this.dtype = dtype
    this.length = length
    this.pointer = pointer
    this.allocation = allocation
    this.whole = whole
  }
}

/** The memory half of a backend, and the checks by which kernels turn buffers into addresses. */
export const makeMemory = (machine: Machine) => {
  const owned = new WeakSet<Allocation>()
  let live = 0
  let peak = 0

  const fail = (kernel: string, complaint: string): never => {
    throw new Error(`${machine.name}.${kernel}: ${complaint}`)
  }

  const checked = <Type extends "real" | "int">(
    kernel: string,
    name: string,
    dtype: Type,
    buffer: Tensor | Ints,
    length: number | undefined
  ): Buffer<Type> => {
    if (!(buffer instanceof Buffer) || buffer.dtype !== dtype || !owned.has(buffer.allocation)) {
      return fail(kernel, `${name} is not ${dtype === "real" ? "a tensor" : "integers"} of this backend`)
    }
    if (buffer.allocation.freed) fail(kernel, `${name} (length ${buffer.length}) was freed`)
    if (length !== undefined && buffer.length !== length) {
      fail(kernel, `${name} has length ${buffer.length}, expected ${length}`)
    }
    return buffer as Buffer<Type>
  }

  const checkRange = (kernel: string, name: string, length: number, start: number, count: number): void => {
    if (!Number.isInteger(start) || !Number.isInteger(count) || start < 0 || count < 0 || start + count > length) {
      fail(kernel, `elements ${start} to ${start + count} do not lie in ${name} of length ${length}`)
    }
  }

  const allocate = <Type extends "real" | "int">(kernel: string, dtype: Type, length: number): Buffer<Type> => {
    if (!Number.isInteger(length) || length < 0) fail(kernel, `${length} is not a length`)
    const block = machine.allocate(4 * length)
    const integers = dtype === "int" ? new Int32Array(length) : null
    if (integers !== null) machine.writeInts(block.pointer, integers)
    const allocation: Allocation = { block, integers, freed: false }
    owned.add(allocation)
    live += block.bytes
    peak = Math.max(peak, live)
    return new Buffer(dtype, length, block.pointer, allocation, true)
  }

  return {
    reals: (length: number): Tensor => allocate("reals", "real", length),
    ints: (length: number): Ints => allocate("ints", "int", length),
    free: (buffer: Tensor | Ints): void => {
      const { allocation, length, whole } = checked("free", "buffer", buffer.dtype, buffer, undefined)
      if (!whole) fail("free", `a slice of length ${length}`)
      machine.free(allocation.block)
      allocation.freed = true
      live -= allocation.block.bytes
    },
    slice: (of: Tensor, start: number, length: number): Tensor => {
      const whole = checked("slice", "of", "real", of, undefined)
      checkRange("slice", "of", whole.length, start, length)
      return new Buffer("real", length, whole.pointer + 4 * start, whole.allocation, false)
    },
    write: (to: Tensor, data: Host, at = 0): void => {
      const { length, pointer } = checked("write", "to", "real", to, undefined)
      checkRange("write", "to", length, at, data.length)
      machine.write(pointer + 4 * at, data)
    },
    writeInts: (to: Ints, data: Int32Array, at = 0): void => {
      const { allocation, length, pointer } = checked("writeInts", "to", "int", to, undefined)
      checkRange("writeInts", "to", length, at, data.length)
      allocation.integers!.set(data, at)
      machine.writeInts(pointer + 4 * at, data)
    },
    read: (from: Tensor): Float32Array => {
      const { length, pointer } = checked("read", "from", "real", from, undefined)
      return machine.read(pointer, length)
    },
    memory: () => ({ live, peak }),

    /** Address of a tensor that must have `length` elements. */
    real: (kernel: string, name: string, tensor: Tensor, length?: number): number =>
      checked(kernel, name, "real", tensor, length).pointer,

    /** Address of integers that must have `length` elements, each of them in `[0, below)`. */
    int: (kernel: string, name: string, ints: Ints, below: number, length?: number): number => {
      const { allocation, pointer } = checked(kernel, name, "int", ints, length)
      const values = allocation.integers!
      for (let i = 0; i < values.length; i++) {
        if (values[i]! < 0 || values[i]! >= below) {
          fail(kernel, `${name}[${i}] is ${values[i]}, expected 0 to ${below - 1}`)
        }
      }
      return pointer
    },

    /** The integers themselves, not a copy, and their address. */
    integers: (kernel: string, name: string, ints: Ints): { readonly values: Int32Array; readonly pointer: number } => {
      const { allocation, pointer } = checked(kernel, name, "int", ints, undefined)
      return { values: allocation.integers!, pointer }
    },

    fail
  }
}

/** The result of `makeMemory`. */
export type Memory = Pick<ReturnType<typeof makeMemory>, "real" | "int" | "integers" | "fail">
