import type { Backend, Tensor } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"

/** Elements of one partial sum of squares: in double precision they are twice as large. */
const sumChunk = 2 ** 18

/** The elementwise kernels. */
export const elementwise = (
  aten: Aten,
  memory: Memory
): Pick<
  Backend,
  "zero" | "add" | "copy" | "lerp" | "scale" | "softcap" | "sumSquares" | "swiglu" | "swigluBackward" | "adamw"
> => {
  const { abi: { copy, dtypes }, add, as, constant, dot, mul, room, run } = aten
  const { cached, output, real, view } = memory
  return {
    zero: (of) => {
      const to = output("zero", "of", of)
      run("zero", [of.length], () => aten.zero(view(to, [of.length])))
    },
    add: (out, x) => {
      const to = output("add", "out", out)
      const from = real("add", "x", x, out.length)
      run("add", [out.length], () => add(view(to, [out.length]), view(from, [out.length])))
    },
    copy: (out, x) => {
      const from = real("copy", "x", x, out.length)
      // A copy between slots of a cache: the cache still holds only zeros and written values.
      const within = real("copy", "out", out).allocation === from.allocation
      const to = within ? cached("copy", "out", out) : output("copy", "out", out)
      // Places change with every copy: views of them are not kept.
      run("copy", [out.length], () =>
        aten.copy(
          as(to.allocation.root, [out.length], [1], to.start),
          as(from.allocation.root, [out.length], [1], from.start)
        ))
    },
    lerp: (out, x, rate) => {
      const to = view(output("lerp", "out", out), [out.length])
      const from = view(real("lerp", "x", x, out.length), [out.length])
      run("lerp", [out.length], () => {
        mul(to, to, constant(1 - rate))
        aten.addcmul(to, from, constant(rate))
      })
    },
    scale: (x, by) => {
      const of = view(output("scale", "x", x), [x.length])
      run("scale", [x.length], () => mul(of, of, constant(by)))
    },
    softcap: (x, cap) => {
      memory.check.softcap(cap)
      const of = view(output("softcap", "x", x), [x.length])
      run("softcap", [x.length], () => aten.softcap(of, cap))
    },
    sumSquares: (x) => {
      const from = real("sumSquares", "x", x)
      return run("sumSquares", [x.length], () => {
        const chunks = Math.ceil(x.length / sumChunk)
        const wide = room([Math.min(sumChunk, x.length)], dtypes.f64)
        const sums = room([chunks], dtypes.f64)
        for (let i = 0; i < chunks; i++) {
          const length = Math.min(sumChunk, x.length - i * sumChunk)
          const part = as(wide, [length])
          aten.copy(part, as(from.allocation.root, [length], [1], from.start + i * sumChunk))
          aten.copy(as(sums, [], [], i), dot(part, part))
        }
        let sum = 0
        const parts = new Float64Array(chunks)
        const host = aten.keep(aten.abi.onHost(parts, [chunks]))
        copy(host, sums, true)
        for (const part of parts) sum += part
        return sum
      })
    },

    swiglu: (out, gateUp, rows, dim) => {
      const to = view(output("swiglu", "out", out, rows * dim), [rows, dim])
      const from = real("swiglu", "gateUp", gateUp, rows * 2 * dim)
      run("swiglu", [rows, dim], () => {
        aten.silu(to, view(from, [rows, dim], [2 * dim, 1]))
        mul(to, to, view(from, [rows, dim], [2 * dim, 1], dim))
      })
    },
    swigluBackward: (dGateUp, dOut, gateUp, rows, dim) => {
      const kernel = "swigluBackward"
      const to = output(kernel, "dGateUp", dGateUp, rows * 2 * dim)
      const gradient = view(real(kernel, "dOut", dOut, rows * dim), [rows, dim])
      const from = real(kernel, "gateUp", gateUp, rows * 2 * dim)
      run(kernel, [rows, dim], () => {
        const gate = view(from, [rows, dim], [2 * dim, 1])
        const [activated, scaled] = [room([rows, dim]), room([rows, dim])]
        aten.silu(activated, gate)
        mul(scaled, gradient, view(from, [rows, dim], [2 * dim, 1], dim))
        // From here on gateUp may be overwritten, element by element.
        mul(view(to, [rows, dim], [2 * dim, 1], dim), gradient, activated)
        aten.siluBackward(view(to, [rows, dim], [2 * dim, 1]), scaled, gate)
      })
    },

    adamw: (params, grads, m, v, update) => {
      const { gradScale, step } = update
      const { length } = params
      memory.check.adamw(step)
      const flat = (name: string, of: Tensor): Handle => view(output("adamw", name, of, length), [length])
      const values = flat("params", params)
      const gradient = flat("grads", grads)
      const moments = [flat("m", m), flat("v", v)] as const
      run("adamw", [length], () => {
        if (gradScale !== 1) mul(gradient, gradient, constant(gradScale))
        aten.adamw([values, gradient, ...moments, aten.keep(memory.upload(Float32Array.of(step), []))], update)
        aten.zero(gradient)
      })
    }
  }
}
