import type { Block } from "./machine.ts"

const alignment = 64

/** Addresses lent out and given back. */
export interface Heap {
  /** At least `bytes` bytes on a 64-byte boundary. */
  readonly allocate: (bytes: number) => Block
  readonly free: (block: Block) => void
  /** Free bytes that end at an address. */
  readonly freeBefore: (end: number) => number
}

/**
 * A free list: the smallest free block that fits is cut, neighbours merge when they are given back, and `grow` is asked for
 * more when no gap fits (it may give more than asked for, and throws when there is none).
 */
export const makeHeap = (grow: (bytes: number) => Block): Heap => {
  /** Free blocks by address; no two touch. */
  const starts: Array<number> = []
  const sizes: Array<number> = []

  /** Index of the first free block at or after an address. */
  const after = (pointer: number): number => {
    let low = 0
    for (let high = starts.length; low < high;) {
      const middle = (low + high) >>> 1
      if (starts[middle]! < pointer) low = middle + 1
      else high = middle
    }
    return low
  }

  const free = ({ bytes, pointer }: Block): void => {
    const next = after(pointer)
    const joinsNext = next < starts.length && pointer + bytes === starts[next]
    const joinsPrevious = next > 0 && pointer === starts[next - 1]! + sizes[next - 1]!
    if (joinsPrevious) {
      sizes[next - 1]! += bytes + (joinsNext ? sizes[next]! : 0)
      if (joinsNext) {
        starts.splice(next, 1)
        sizes.splice(next, 1)
      }
    } else if (joinsNext) {
      starts[next] = pointer
      sizes[next]! += bytes
    } else {
      starts.splice(next, 0, pointer)
      sizes.splice(next, 0, bytes)
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

  return {
    allocate: (requested) => {
      const bytes = Math.max(alignment, Math.ceil(requested / alignment) * alignment)
      let found = fit(bytes)
      if (found < 0) {
        free(grow(bytes))
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
    },
    free,
    freeBefore: (end) => {
      const last = after(end) - 1
      const size = sizes[last] ?? 0
      return end === (starts[last] ?? 0) + size ? size : 0
    }
  }
}
