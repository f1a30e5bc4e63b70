import type { Host, Ints, Tensor } from "../backend.ts"
import { checks } from "../checks.ts"
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
  const check = checks(machine.name)
  let live = 0
  let peak = 0

  const checked = <Type extends "real" | "int">(
    kernel: string,
    name: string,
    dtype: Type,
    buffer: Tensor | Ints,
    length?: number
  ): Buffer<Type> => {
    if (!(buffer instanceof Buffer) || buffer.dtype !== dtype || !owned.has(buffer.allocation)) {
      return check.fail(kernel, `${name} is not ${dtype === "real" ? "a tensor" : "integers"} of this backend`)
    }
    check.live(kernel, name, buffer, length)
    return buffer as Buffer<Type>
  }

  const allocate = <Type extends "real" | "int">(kernel: string, dtype: Type, length: number): Buffer<Type> => {
    check.length(kernel, length)
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
    check,
    ofBackend: {
      reals: (length: number): Tensor => allocate("reals", "real", length),
      ints: (length: number): Ints => allocate("ints", "int", length),
      free: (buffer: Tensor | Ints): void => {
        const { allocation, length, whole } = checked("free", "buffer", buffer.dtype, buffer)
        if (!whole) check.fail("free", `a slice of length ${length}`)
        machine.free(allocation.block)
        allocation.freed = true
        live -= allocation.block.bytes
      },
      slice: (of: Tensor, start: number, length: number): Tensor => {
        const whole = checked("slice", "of", "real", of)
        check.range("slice", "of", whole, start, length)
        return new Buffer("real", length, whole.pointer + 4 * start, whole.allocation, false)
      },
      write: (to: Tensor, data: Host, at = 0): void => {
        const of = checked("write", "to", "real", to)
        check.range("write", "to", of, at, data.length)
        machine.write(of.pointer + 4 * at, data)
      },
      writeInts: (to: Ints, data: Int32Array, at = 0): void => {
        const of = checked("writeInts", "to", "int", to)
        check.range("writeInts", "to", of, at, data.length)
        of.allocation.integers!.set(data, at)
        machine.writeInts(of.pointer + 4 * at, data)
      },
      read: (from: Tensor): Float32Array => {
        const { length, pointer } = checked("read", "from", "real", from)
        return machine.read(pointer, length)
      },
      memory: () => ({ live, peak })
    },

    /** Address of a tensor that must have `length` elements. */
    real: (kernel: string, name: string, tensor: Tensor, length?: number): number =>
      checked(kernel, name, "real", tensor, length).pointer,

    /** Address of integers that must have `length` elements, each of them in `[0, below)`. */
    int: (kernel: string, name: string, ints: Ints, below: number, length?: number): number => {
      const { allocation, pointer } = checked(kernel, name, "int", ints, length)
      check.below(kernel, name, allocation.integers!, below)
      return pointer
    },

    /** The integers themselves, not a copy, and their address. */
    integers: (kernel: string, name: string, ints: Ints): { readonly values: Int32Array; readonly pointer: number } => {
      const { allocation, pointer } = checked(kernel, name, "int", ints)
      return { values: allocation.integers!, pointer }
    }
  }
}

export type Memory = ReturnType<typeof makeMemory>
