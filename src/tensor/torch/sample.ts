import type { Backend } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"

/** The choice of tokens. */
export const sample = (aten: Aten, memory: Memory): Pick<Backend, "sample"> => {
  const { abi: { dtypes }, add, as, constant, copy, mul, room, run } = aten
  const { output, real, view } = memory
  return {
    sample: (out, logits, uniforms, shape) => {
      const kernel = "sample"
      memory.check.sample(shape)
      const { rows, temperature, vocab } = shape
      const tokens = view(output(kernel, "tokens", out.tokens, rows), [rows, 1])
      const logps = view(output(kernel, "logps", out.logps, rows), [rows, 1])
      const z = view(real(kernel, "logits", logits, rows * vocab), [rows, vocab])
      const u = view(real(kernel, "uniforms", uniforms, 2 * rows), [rows, 2])
      run(kernel, [rows, vocab], () => {
        const chosen = (): number => {
          if (temperature === 0) return aten.max(z)[1]
          // In double precision: neither 1 / temperature nor the tail of a large vocabulary is lost.
          const p = room([rows, vocab], dtypes.f64)
          copy(p, z)
          // Their sum first: divided by a tiny temperature two infinities would be left.
          mul(p, p, constant(1 / temperature))
          aten.softmax(p, p)
          const below = aten.cumsum(p)
          const parts = room([rows, 2], dtypes.f64)
          copy(parts, u)
          const value = room([rows, 1], dtypes.f64)
          copy(value, as(parts, [rows, 1], [2, 1]))
          add(value, as(parts, [rows, 1], [2, 1], 1))
          // u of what there is in all, so that rounding leaves no gap at the end.
          mul(value, value, as(below, [rows, 1], [vocab, 1], vocab - 1))
          return aten.minimum(
            aten.firstAbove(below, value),
            aten.keep(memory.upload(BigInt64Array.of(BigInt(vocab - 1)), []))
          )
        }
        const token = chosen()
        copy(tokens, token)
        const all = room([rows, vocab])
        aten.logSoftmax(all, z)
        aten.gather(logps, all, token)
      })
    }
  }
}
