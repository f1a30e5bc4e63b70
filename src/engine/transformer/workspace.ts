import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"

/**
 * Named working memory. A buffer is allocated when a name is first asked for and replaced only when a larger one is
 * needed, so that training allocates nothing after its largest batch has been seen.
 */
export interface Workspace {
  /** `length` reals under `name`; the contents are whatever was there before. */
  readonly reals: (name: string, length: number) => Tensor
  /** The integers under `name`, set to `data`. */
  readonly ints: (name: string, data: Int32Array) => Ints
  readonly dispose: () => void
}

interface Held {
  readonly buffer: Tensor
  view: Tensor
}

export const workspace = (backend: Backend): Workspace => {
  const held = new Map<string, Held>()
  const integers = new Map<string, Ints>()
  return {
    reals: (name, length) => {
      const now = held.get(name)
      if (now !== undefined) {
        if (now.view.length === length) return now.view
        if (now.buffer.length >= length) return (now.view = backend.slice(now.buffer, 0, length))
        backend.free(now.buffer)
      }
      const buffer = backend.reals(length)
      held.set(name, { buffer, view: buffer })
      return buffer
    },
    // Integers have no slices (their length is the number of rows), so a new length is a new, small buffer.
    ints: (name, data) => {
      let buffer = integers.get(name)
      if (buffer === undefined || buffer.length !== data.length) {
        if (buffer !== undefined) backend.free(buffer)
        buffer = backend.ints(data.length)
        integers.set(name, buffer)
      }
      backend.writeInts(buffer, data)
      return buffer
    },
    dispose: () => {
      for (const { buffer } of held.values()) backend.free(buffer)
      for (const buffer of integers.values()) backend.free(buffer)
      held.clear()
      integers.clear()
    }
  }
}
