import { freemem } from "node:os"
import type { Host, Ints, Tensor } from "../backend.ts"
import { checks } from "../checks.ts"
import { type Abi, contiguous, type Handle, type HostData } from "./abi.ts"
import type { TorchDevice } from "./device.ts"
import { explained } from "./errors.ts"

/** Buffers count as multiples of this, as they do everywhere. */
const alignment = 64
/** Views of an allocation, kept for the next call. */
const mostViews = 512

/** The memory that `free` gives back. */
class Allocation {
  /** The whole of it, [length]; 0 for integers, which are on the host until a kernel asks for them. */
  readonly root: Handle
  bytes: number
  readonly integers: Int32Array | null
  freed = false
  /** The packed tensor of a weight, and its shape. */
  packed:
    | { readonly handle: Handle; readonly inputs: number; readonly outputs: number; readonly bytes: number }
    | null = null
  /** Grows with everything that is written here. */
  version = 0
  /** Whether it holds only zeros and values from `cacheWrite` and from copies within it. */
  pristine = true
  /** Handles to drop with it; a view of an older generation is dropped already. */
  readonly views: Array<Handle> = []
  generation = 0
  constructor(root: Handle, bytes: number, integers: Int32Array | null) {
    this.root = root
    this.bytes = bytes
    this.integers = integers
  }
}

interface View {
  readonly sizes: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly offset: number
  readonly handle: Handle
}

/** A tensor or integers of this backend. */
class Buffer<Type extends "real" | "int"> {
  readonly dtype: Type
  readonly length: number
  readonly start: number
  readonly allocation: Allocation
  readonly whole: boolean
  readonly views: Array<View> = []
  generation = 0
  /** Tensors that kernels derived from these integers: device tensors, masks, rows of tables. Dropped on the next write. */
  readonly derived = new Map<string, ReadonlyArray<Handle>>()
  constructor(dtype: Type, length: number, start: number, allocation: Allocation, whole: boolean) {
    this.dtype = dtype
    this.length = length
    this.start = start
    this.allocation = allocation
    this.whole = whole
  }
}

/** A tensor whose kind, owner and length were checked. */
export type Real = Buffer<"real">
/** Integers that were checked. */
export type Int = Buffer<"int">

const equal = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Results of an operator, kept by their inputs, up to a number. */
const mostDerived = 32

/** The memory half of the backend, and the checks by which kernels turn buffers into handles. */
export const makeMemory = (abi: Abi, device: TorchDevice) => {
  const check = checks("torch")
  const owned = new WeakSet<Allocation>()
  const held = new Set<Allocation>()
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
  const empty = (sizes: ReadonlyArray<number>, dtype: number = abi.dtypes.f32): Handle =>
    abi.empty(sizes, contiguous(sizes), dtype, device.type, device.index)

  const allocated = (length: number): Handle => {
    try {
      return empty([Math.max(1, length)])
    } catch (error) {
      throw explained(error, "reals", String(length), freemem, 4 * length)
    }
  }

  const hold = <Type extends "real" | "int">(
    dtype: Type,
    length: number,
    root: Handle,
    integers: Int32Array | null
  ) => {
    const bytes = Math.ceil(Math.max(4 * length, alignment - 1) / alignment) * alignment
    const allocation = new Allocation(root, bytes, integers)
    owned.add(allocation)
    held.add(allocation)
    live += bytes
    peak = Math.max(peak, live)
    return new Buffer(dtype, length, 0, allocation, true)
  }

  /** Handles to drop at the end of the current kernel, which may still use them. */
  const discarded: Array<Handle> = []
  const dropViews = (allocation: Allocation): void => {
    discarded.push(...allocation.views)
    allocation.views.length = 0
    allocation.generation++
  }
  const dropDerived = ({ derived }: Int): void => {
    for (const handles of derived.values()) discarded.push(...handles)
    derived.clear()
  }

  const release = (allocation: Allocation): void => {
    dropViews(allocation)
    if (allocation.integers === null) discarded.push(allocation.root)
    if (allocation.packed !== null) discarded.push(allocation.packed.handle)
    allocation.freed = true
    held.delete(allocation)
    live -= allocation.bytes
  }
  const dropDiscarded = (): void => {
    for (let i = 0; i < discarded.length; i++) abi.drop(discarded[i]!)
    discarded.length = 0
  }

  /** Strided elements of a tensor, from `offset`; the handle stays with the tensor. */
  const view = (
    of: Real,
    sizes: ReadonlyArray<number>,
    strides: ReadonlyArray<number> = contiguous(sizes),
    offset = 0
  ): Handle => {
    const { allocation, views } = of
    if (of.generation !== allocation.generation) {
      views.length = 0
      of.generation = allocation.generation
    }
    for (const known of views) {
      if (known.offset === offset && equal(known.sizes, sizes) && equal(known.strides, strides)) return known.handle
    }
    if (allocation.views.length >= mostViews) {
      dropViews(allocation)
      views.length = 0
      of.generation = allocation.generation
    }
    const handle = abi.view(allocation.root, sizes, strides, of.start + offset)
    allocation.views.push(handle)
    views.push({ sizes, strides, offset, handle })
    return handle
  }

  /** The result of `make` on integers under `key`, kept until they are written again. */
  const derived = (of: Int, key: string, make: () => ReadonlyArray<Handle>): ReadonlyArray<Handle> => {
    const known = of.derived.get(key)
    if (known !== undefined) return known
    if (of.derived.size >= mostDerived) dropDerived(of)
    const made = make()
    of.derived.set(key, made)
    return made
  }

  /** A device tensor of numbers of the host. */
  const upload = (data: HostData, sizes: ReadonlyArray<number>): Handle => {
    const from = abi.onHost(data, sizes)
    const to = empty(sizes, abi.dtypeOf(data))
    // Memory of the host that is not pinned was copied when this returns, whatever the device is doing.
    abi.copy(to, from, false)
    abi.drop(from)
    return to
  }

  const dropKept: Array<() => void> = []
  /** Tensors kept by a key for as long as there are at most so many of them; then all are dropped. */
  const keptBy = <Key>(most: number) => {
    const kept = new Map<Key, Handle>()
    const drop = (): void => {
      discarded.push(...kept.values())
      kept.clear()
    }
    dropKept.push(drop)
    return (key: Key, make: (key: Key) => Handle): Handle => {
      const known = kept.get(key)
      if (known !== undefined) return known
      if (kept.size >= most) drop()
      const made = make(key)
      kept.set(key, made)
      return made
    }
  }
  /** Rows of a constant. */
  const constantRow = (fill: number) => {
    const rows = keptBy<number>(mostDerived)
    const make = (length: number): Handle => upload(new Float32Array(length).fill(fill), [1, length])
    return (length: number): Handle => rows(length, make)
  }

  return {
    device,
    discarded,
    /** [1, length] */
    ones: constantRow(1),
    zeros: constantRow(0),
    check,
    empty,
    view,
    derived,
    keptBy,
    upload,
    /** Integers as an index [length]. */
    index: (of: Int): Handle =>
      derived(of, "index", () => [upload(BigInt64Array.from(of.allocation.integers!, BigInt), [of.length])])[0]!,
    values: (of: Int): Int32Array => of.allocation.integers!,

    /** Makes a buffer stand for a packed weight, whose bytes, so many for each element, count as those of the buffer. */
    attach: (of: Real, handle: Handle, inputs: number, outputs: number, each: number): void => {
      const { allocation } = of
      const before = allocation.packed
      if (before !== null) abi.drop(before.handle)
      const bytes = each * inputs * outputs
      const more = bytes - (before?.bytes ?? 0)
      allocation.packed = { handle, inputs, outputs, bytes }
      allocation.bytes += more
      live += more
      peak = Math.max(peak, live)
    },
    attached: (kernel: string, of: Real, inputs: number, outputs: number): Handle => {
      const { packed } = of.allocation
      if (packed === null || packed.inputs !== inputs || packed.outputs !== outputs) {
        return check.fail(kernel, `packed holds no weight of ${inputs} × ${outputs}`)
      }
      return packed.handle
    },

    ofBackend: {
      reals: (length: number): Tensor => {
        check.length("reals", length)
        const root = allocated(length)
        // Always zeroed: attention against a cache multiplies its empty places by 0.
        abi.zero(root)
        return hold("real", length, root, null)
      },
      ints: (length: number): Ints => {
        check.length("ints", length)
        return hold("int", length, 0, new Int32Array(length))
      },
      free: (buffer: Tensor | Ints): void => {
        const of = checked("free", "buffer", buffer.dtype, buffer)
        const { allocation, length, whole } = of
        if (!whole) check.fail("free", `a slice of length ${length}`)
        if (of.dtype === "int") dropDerived(of as Int)
        release(allocation)
        dropDiscarded()
      },
      slice: (of: Tensor, start: number, length: number): Tensor => {
        const from = checked("slice", "of", "real", of)
        check.range("slice", "of", from, start, length)
        return new Buffer("real", length, from.start + start, from.allocation, false)
      },
      write: (to: Tensor, data: Host, at = 0): void => {
        const of = checked("write", "to", "real", to)
        check.range("write", "to", of, at, data.length)
        if (data.length === 0) return
        of.allocation.version++
        of.allocation.pristine = false
        const from = abi.onHost(data, [data.length])
        const into = abi.view(of.allocation.root, [data.length], [1], of.start + at)
        abi.copy(into, from, false)
        abi.drop(into)
        abi.drop(from)
      },
      writeInts: (to: Ints, data: Int32Array, at = 0): void => {
        const of = checked("writeInts", "to", "int", to)
        check.range("writeInts", "to", of, at, data.length)
        of.allocation.integers!.set(data, at)
        dropDerived(of)
        dropDiscarded()
      },
      read: (from: Tensor): Float32Array => {
        const of = checked("read", "from", "real", from)
        const copy = new Float32Array(of.length)
        if (of.length === 0) return copy
        const into = abi.onHost(copy, [of.length])
        const whole = abi.view(of.allocation.root, [of.length], [1], of.start)
        abi.copy(into, whole, true)
        abi.drop(whole)
        abi.drop(into)
        return copy
      },
      memory: () => ({ live, peak })
    },
    /** Gives back all memory that was not freed. */
    dispose: (): void => {
      for (const allocation of held) release(allocation)
      for (const drop of dropKept) drop()
      dropDiscarded()
    },

    /** A tensor that is read, of `length` elements. */
    real: (kernel: string, name: string, tensor: Tensor, length?: number): Real =>
      checked(kernel, name, "real", tensor, length),
    /** A tensor that is written. */
    output: (kernel: string, name: string, tensor: Tensor, length?: number): Real => {
      const of = checked(kernel, name, "real", tensor, length)
      of.allocation.version++
      of.allocation.pristine = false
      return of
    },
    /** Keys or values, written position by position. */
    cached: (kernel: string, name: string, tensor: Tensor, length?: number): Real => {
      const of = checked(kernel, name, "real", tensor, length)
      of.allocation.version++
      return of
    },
    /** Integers that must have `length` elements, each of them in [0, below). */
    int: (kernel: string, name: string, ints: Ints, below: number, length?: number): Int => {
      const of = checked(kernel, name, "int", ints, length)
      check.below(kernel, name, of.allocation.integers!, below)
      return of
    }
  }
}

export type Memory = ReturnType<typeof makeMemory>
