import { type Heap, makeHeap } from "../compiled/heap.ts"
import { NoRoom } from "../compiled/machine.ts"

const pageBytes = 65536
const maxBytes = 2 ** 32
const growthBytes = 2 ** 26

/** A linear memory with its free list. */
export interface LinearMemory extends Heap {
  /** The whole memory as it is now; not to be kept, since the memory grows. */
  readonly floats: () => Float32Array
  readonly ints: () => Int32Array
  readonly doubles: () => Float64Array
}

/** Lends out the memory from `base` on, and grows it on demand. */
export const linearMemory = (memory: WebAssembly.Memory, base: number): LinearMemory => {
  let end = memory.buffer.byteLength
  let floats = new Float32Array(memory.buffer)
  let ints = new Int32Array(memory.buffer)
  let doubles = new Float64Array(memory.buffer)

  const heap = makeHeap((bytes) => {
    const needed = Math.ceil((bytes - heap.freeBefore(end)) / pageBytes) * pageBytes
    const wanted = Math.min(Math.max(needed, growthBytes), maxBytes - end)
    try {
      if (wanted < needed) throw new RangeError("more than 4 GiB")
      memory.grow(wanted / pageBytes)
    } catch (cause) {
      throw new NoRoom(
        `wasm: no room for ${bytes} more bytes beside ${end}: a WebAssembly memory is limited to 4 GiB (or this machine ` +
          "refused it). Take --backend native, recompute: true, or smaller batches; the last checkpoint is kept.",
        { cause }
      )
    }
    floats = new Float32Array(memory.buffer)
    ints = new Int32Array(memory.buffer)
    doubles = new Float64Array(memory.buffer)
    const grown = { pointer: end, bytes: wanted }
    end += wanted
    return grown
  })
  heap.free({ pointer: base, bytes: end - base })
  return { ...heap, floats: () => floats, ints: () => ints, doubles: () => doubles }
}
