import type { AttentionShape, Backend, Ints } from "../backend.ts"
import { type Compiled, exponential, moving } from "./compiled.ts"

/** Attention of packed sequences and against a cache. */
export const attention = (
  { check, int, integers, machine, real, run }: Compiled
): Pick<Backend, "attention" | "attentionBackward" | "cacheWrite" | "attentionDecode"> => {
  const sequences = (kernel: string, starts: Ints, rows: number, shape: AttentionShape) => {
    const { pointer, values } = integers(kernel, "starts", starts)
    check.starts(kernel, values, rows)
    let longest = 0
    let pairs = 0
    for (let b = 1; b < values.length; b++) {
      const length = values[b]! - values[b - 1]!
      longest = Math.max(longest, length)
      pairs += length * length / 2
    }
    const { cap, headDim, heads, kvHeads, scale, window } = shape
    return {
      longest,
      work: heads * pairs * (4 * headDim + exponential),
      /** The last arguments of either kernel. */
      numbers: [pointer, values.length - 1, heads, kvHeads, headDim, scale, window, cap]
    }
  }

  return {
    attention: (out, lse, qkv, starts, shape) => {
      const kernel = "attention"
      const sizes = check.attention(kernel, qkv, shape)
      const { longest, numbers, work } = sequences(kernel, starts, sizes.rows, shape)
      machine.reserve(machine.ask("attention_scratch", longest, shape.headDim, shape.window))
      run("attention", work, [
        real(kernel, "out", out, sizes.out),
        real(kernel, "lse", lse, sizes.lse),
        real(kernel, "qkv", qkv),
        ...numbers
      ])
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      const kernel = "attentionBackward"
      const sizes = check.attention(kernel, qkv, shape)
      const { longest, numbers, work } = sequences(kernel, starts, sizes.rows, shape)
      machine.reserve(machine.ask("attention_backward_scratch", longest, shape.headDim))
      run("attention_backward", 2.5 * work, [
        real(kernel, "dQkv", dQkv, sizes.qkv),
        real(kernel, "dOut", dOut, sizes.out),
        real(kernel, "qkv", qkv),
        real(kernel, "out", out, sizes.out),
        real(kernel, "lse", lse, sizes.lse),
        ...numbers
      ])
    },
    cacheWrite: (keys, values, qkv, slots, positions, shape) => {
      const kernel = "cacheWrite"
      const { rows } = check.attention(kernel, qkv, shape)
      const { capacity, headDim, heads, kvHeads } = shape
      run("cache_write", 2 * moving * rows * kvHeads * headDim, [
        real(kernel, "keys", keys),
        real(kernel, "values", values, keys.length),
        real(kernel, "qkv", qkv),
        int(kernel, "slots", slots, check.slots(kernel, keys, shape), rows),
        int(kernel, "positions", positions, capacity, rows),
        rows,
        heads,
        kvHeads,
        headDim,
        capacity
      ])
    },
    attentionDecode: (out, qkv, keys, values, slots, positions, shape) => {
      const kernel = "attentionDecode"
      const sizes = check.attention(kernel, qkv, shape)
      const { cap, capacity, headDim, heads, kvHeads, scale, window } = shape
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
        int(kernel, "slots", slots, check.slots(kernel, keys, shape), sizes.rows),
        last,
        sizes.rows,
        heads,
        kvHeads,
        headDim,
        scale,
        window,
        capacity,
        cap
      ])
    }
  }
}
