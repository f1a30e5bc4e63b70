import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"

/**
 * Named working memory. A buffer is allocated at the first use of a name and replaced only when a larger one is needed,
 * so that training allocates nothing after its largest batch.
 */
export interface Workspace {
  /** `length` reals under `name`, with unspecified contents. */
  readonly reals: (name: string, length: number) => Tensor
  /** The integers under `name`, set to `data`. */
  readonly ints: (name: string, data: Int32Array) => Ints
  /** Allocates integers of every length up to `most` now, so that none of them is allocated later. */
  readonly reserveInts: (name: string, most: number) => void
  readonly dispose: () => void
}

interface Held {
  readonly buffer: Tensor
  view: Tensor
}

export const workspace = (backend: Backend): Workspace => {
  const held = new Map<string, Held>()
  // Integers have no slices (their length is the number of rows), so every length needs a buffer of its own. A name keeps the
  // last buffer, and all reserved buffers: rows that come and go with every sampled token then allocate nothing.
  const last = new Map<string, Ints>()
  const reserved = new Map<string, Array<Ints>>()
  const integers = (name: string, length: number): Ints => {
    const kept = reserved.get(name)?.[length]
    if (kept !== undefined) return kept
    const now = last.get(name)
    if (now?.length === length) return now
    if (now !== undefined) backend.free(now)
    const buffer = backend.ints(length)
    last.set(name, buffer)
    return buffer
  }
  return {
    reals: (name, length) => {
      const now = held.get(name)
      if (now !== undefined) {
        if (now.view.length === length) return now.view
        if (now.buffer.length >= length) return (now.view = backend.slice(now.buffer, 0, length))
        backend.free(now.buffer)
      }
      const buffer = backend.reals(length, name)
      held.set(name, { buffer, view: buffer })
      return buffer
    },
    ints: (name, data) => {
      const buffer = integers(name, data.length)
      backend.writeInts(buffer, data)
      return buffer
    },
    reserveInts: (name, most) => {
      let kept = reserved.get(name)
      if (kept === undefined) reserved.set(name, kept = [])
      for (let length = kept.length; length <= most; length++) kept.push(backend.ints(length))
    },
    dispose: () => {
      for (const { buffer } of held.values()) backend.free(buffer)
      for (const buffers of [last.values(), ...reserved.values()]) for (const buffer of buffers) backend.free(buffer)
      held.clear()
      last.clear()
      reserved.clear()
    }
  }
}
