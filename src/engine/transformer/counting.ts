import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"

const nothing = (): void => {}

/**
 * A backend that computes nothing and counts bytes: run on it, the engine's own code says how much memory it takes, with no
 * second set of formulas to keep in step. What is read from it is 0 everywhere.
 *
 * Buffers are what they are on a backend of 32-bit reals whose buffers begin at multiples of `alignment` bytes; what a backend
 * needs besides (its code, scratch of its threads, gaps between buffers) is not counted.
 */
export const counting = (
  { alignment = 64, realBytes = 4 }: { readonly alignment?: number; readonly realBytes?: number } = {}
): Backend => {
  const sizes = new WeakMap<Tensor | Ints, number>()
  let live = 0
  let peak = 0
  const allocate = <B extends Tensor | Ints>(buffer: B, bytes: number): B => {
    // An empty buffer has an address too.
    const size = Math.ceil(Math.max(bytes, alignment - 1) / alignment) * alignment
    sizes.set(buffer, size)
    live += size
    peak = Math.max(peak, live)
    return buffer
  }
  const backend: Backend = {
    name: "counting",
    realBytes,
    addressable: Infinity,
    precisions: ["f32", "bf16"],
    at: () => backend,
    reals: (length) => allocate<Tensor>({ dtype: "real", length }, realBytes * length),
    ints: (length) => allocate<Ints>({ dtype: "int", length }, 4 * length),
    free: (buffer) => {
      live -= sizes.get(buffer)!
    },
    slice: (_, __, length) => ({ dtype: "real", length }),
    memory: () => ({ live, peak }),
    read: ({ length }) => new Float32Array(length),
    packedLength: (inputs, outputs) => inputs * outputs,
    sumSquares: () => 0,
    write: nothing,
    writeInts: nothing,
    zero: nothing,
    dispose: nothing,
    add: nothing,
    copy: nothing,
    embed: nothing,
    embedBackward: nothing,
    linear: nothing,
    packWeight: nothing,
    linearPacked: nothing,
    linearBackward: nothing,
    rmsNorm: nothing,
    rmsNormBackward: nothing,
    rope: nothing,
    attention: nothing,
    attentionBackward: nothing,
    cacheWrite: nothing,
    attentionDecode: nothing,
    swiglu: nothing,
    swigluBackward: nothing,
    head: nothing,
    headBackward: nothing,
    sample: nothing,
    gatherRows: nothing,
    scatterRows: nothing,
    adamw: nothing
  }
  return backend
}
