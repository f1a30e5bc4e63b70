import type { Machine } from "../compiled/machine.ts"

const pageBytes = 65536
const maxBytes = 2 ** 32
const alignment = 64
const growthBytes = 2 ** 26

/** Addresses in a linear memory, lent out and given back. */
export interface Heap extends Pick<Machine, "allocate" | "free"> {
  /** The whole memory as it is now; not to be kept, since the memory grows. */
  readonly floats: () => Float32Array
  readonly ints: () => Int32Array
  readonly doubles: () => Float64Array
}

/**
 * A free list over the memory from `base` on: the smallest free block that fits is cut, neighbours merge when they are given
 * back, and the memory grows when nothing fits.
 */
export const makeHeap = (memory: WebAssembly.Memory, base: number): Heap => {
  /** Free blocks by address; no two touch. */
  const starts: Array<number> = []
  const sizes: Array<number> = []
  let end = memory.buffer.byteLength
  let floats = new Float32Array(memory.buffer)
  let ints = new Int32Array(memory.buffer)
  let doubles = new Float64Array(memory.buffer)

  const free = (pointer: number, bytes: number): void => {
    let low = 0
    for (let high = starts.length; low < high;) {
      const middle = (low + high) >>> 1
      if (starts[middle]! < pointer) low = middle + 1
      else high = middle
    }
    const joinsNext = low < starts.length && pointer + bytes === starts[low]
    const joinsPrevious = low > 0 && pointer === starts[low - 1]! + sizes[low - 1]!
    if (joinsPrevious) {
      sizes[low - 1]! += bytes + (joinsNext ? sizes[low]! : 0)
      if (joinsNext) {
        starts.splice(low, 1)
        sizes.splice(low, 1)
      }
    } else if (joinsNext) {
      starts[low] = pointer
      sizes[low]! += bytes
    } else {
      starts.splice(low, 0, pointer)
      sizes.splice(low, 0, bytes)
    }
  }

  /** Index of the smallest free block of `bytes` or more, or -1. */
  const fit = (bytes: number): number => {
    let best = -1
    for (let i = 0; i < sizes.length; i++) {
      if (sizes[i]! >= bytes && (best < 0 || sizes[i]! < sizes[best]!)) best = i
    }
    return best
  }

  const grow = (bytes: number): void => {
    const last = starts.length - 1
    const atEnd = last >= 0 && end === starts[last]! + sizes[last]! ? sizes[last]! : 0
    const needed = Math.ceil((bytes - atEnd) / pageBytes) * pageBytes
    const wanted = Math.min(Math.max(needed, growthBytes), maxBytes - end)
    try {
      if (wanted < needed) throw new RangeError("more than 4 GiB")
      memory.grow(wanted / pageBytes)
    } catch (cause) {
      throw new Error(
        `wasm: no room for ${bytes} more bytes beside ${end}: a WebAssembly memory is limited to 4 GiB (or this machine ` +
          "refused it); choose another backend or a smaller micro-batch",
        { cause }
      )
    }
    floats = new Float32Array(memory.buffer)
    ints = new Int32Array(memory.buffer)
    doubles = new Float64Array(memory.buffer)
    free(end, wanted)
    end += wanted
  }

  const allocate = (requested: number) => {
    const bytes = Math.max(alignment, Math.ceil(requested / alignment) * alignment)
    let found = fit(bytes)
    if (found < 0) {
      grow(bytes)
      found = fit(bytes)
    }
    const pointer = starts[found]!
    if (sizes[found] === bytes) {
      starts.splice(found, 1)
      sizes.splice(found, 1)
    } else {
      starts[found]! += bytes
      sizes[found]! -= bytes
    }
    return { pointer, bytes }
  }

  const first = Math.ceil(base / alignment) * alignment
  free(first, end - first)
  return {
    allocate,
    free: ({ bytes, pointer }) => free(pointer, bytes),
    floats: () => floats,
    ints: () => ints,
    doubles: () => doubles
  }
}
