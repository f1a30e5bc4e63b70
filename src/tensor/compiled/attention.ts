import type { AttentionShape, Backend, Ints, Tensor } from "../backend.ts"
import type { Compiled } from "./compiled.ts"
import { exponential, moving } from "./compiled.ts"

/** Attention of packed sequences and against a cache. */
export const attention = (
  { int, integers, machine, need, real, rowsOf, run }: Compiled
): Pick<Backend, "attention" | "attentionBackward" | "cacheWrite" | "attentionDecode"> => {
  const attentionSizes = (kernel: string, qkv: Tensor, shape: AttentionShape) => {
    const { headDim, heads, kvHeads, window } = shape
    need(
      kvHeads > 0 && headDim > 0 && heads % kvHeads === 0 && window >= 0,
      kernel,
      () => `${heads} heads cannot share ${kvHeads} kvHeads (headDim ${headDim}, window ${window})`
    )
    const width = (heads + 2 * kvHeads) * headDim
    const rows = rowsOf(kernel, "qkv", qkv, width)
    return { rows, qkv: rows * width, out: rows * heads * headDim, lse: rows * heads }
  }

  /** Checks that row starts are 0, not decreasing, and end with the number of rows. */
  const sequences = (kernel: string, starts: Ints, rows: number, { headDim, heads }: AttentionShape) => {
    const { pointer, values } = integers(kernel, "starts", starts)
    let longest = 0
    let pairs = 0
    let whole = values[0] === 0 && values[values.length - 1] === rows
    for (let b = 1; b < values.length; b++) {
      const length = values[b]! - values[b - 1]!
      whole &&= length >= 0
      longest = Math.max(longest, length)
      pairs += length * length / 2
    }
    need(whole, kernel, () => `starts [${values.join(", ")}] do not divide ${rows} rows`)
    return {
      starts: pointer,
      count: values.length - 1,
      longest,
      work: heads * pairs * (4 * headDim + exponential)
    }
  }

  const cacheSlots = (kernel: string, keys: Tensor, shape: AttentionShape & { readonly capacity: number }): number =>
    rowsOf(kernel, "keys", keys, shape.capacity * shape.kvHeads * shape.headDim)

  return {
    attention: (out, lse, qkv, starts, shape) => {
      const sizes = attentionSizes("attention", qkv, shape)
      const packed = sequences("attention", starts, sizes.rows, shape)
      const { headDim, heads, kvHeads, scale, window } = shape
      machine.reserve(machine.ask("attention_scratch", packed.longest, headDim, window))
      run("attention", packed.work, [
        real("attention", "out", out, sizes.out),
        real("attention", "lse", lse, sizes.lse),
        real("attention", "qkv", qkv),
        packed.starts,
        packed.count,
        heads,
        kvHeads,
        headDim,
        scale,
        window
      ])
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      const kernel = "attentionBackward"
      const sizes = attentionSizes(kernel, qkv, shape)
      const packed = sequences(kernel, starts, sizes.rows, shape)
      const { headDim, heads, kvHeads, scale, window } = shape
      machine.reserve(machine.ask("attention_backward_scratch", packed.longest, headDim))
      run("attention_backward", 2.5 * packed.work, [
        real(kernel, "dQkv", dQkv, sizes.qkv),
        real(kernel, "dOut", dOut, sizes.out),
        real(kernel, "qkv", qkv),
        real(kernel, "out", out, sizes.out),
        real(kernel, "lse", lse, sizes.lse),
        packed.starts,
        packed.count,
        heads,
        kvHeads,
        headDim,
        scale,
        window
      ])
    },
    cacheWrite: (keys, values, qkv, slots, positions, shape) => {
      const { rows } = attentionSizes("cacheWrite", qkv, shape)
      const { capacity, headDim, heads, kvHeads } = shape
      run("cache_write", 2 * moving * rows * kvHeads * headDim, [
        real("cacheWrite", "keys", keys),
        real("cacheWrite", "values", values, keys.length),
        real("cacheWrite", "qkv", qkv),
        int("cacheWrite", "slots", slots, cacheSlots("cacheWrite", keys, shape), rows),
        int("cacheWrite", "positions", positions, capacity, rows),
        rows,
        heads,
        kvHeads,
        headDim,
        capacity
      ])
    },
    attentionDecode: (out, qkv, keys, values, slots, positions, shape) => {
      const kernel = "attentionDecode"
      const sizes = attentionSizes(kernel, qkv, shape)
      const { capacity, headDim, heads, kvHeads, scale, window } = shape
      const last = int(kernel, "positions", positions, capacity, sizes.rows)
      let seen = 0
      for (const position of integers(kernel, "positions", positions).values) {
        seen += window > 0 ? Math.min(window, position + 1) : position + 1
      }
      machine.reserve(machine.ask("attention_decode_scratch", heads, kvHeads, capacity))
      run("attention_decode", seen * heads * (4 * headDim + exponential), [
        real(kernel, "out", out, sizes.out),
        real(kernel, "qkv", qkv),
        real(kernel, "keys", keys),
        real(kernel, "values", values, keys.length),
        int(kernel, "slots", slots, cacheSlots(kernel, keys, shape), sizes.rows),
        last,
        sizes.rows,
        heads,
        kvHeads,
        headDim,
        scale,
        window,
        capacity
      ])
    }
  }
}
