import type { Backend, GeluShape } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory, Real } from "./memory.ts"

const inner = Math.sqrt(2 / Math.PI)
const cubic = 0.044715

/** x Φ(x) (Hendrycks and Gimpel 2016), times up where there is a gate, and its gradient. */
export const gelu = (aten: Aten, memory: Memory): Pick<Backend, "gelu" | "geluBackward"> => {
  const { addcmul, constant, exp, mul, one, room, run } = aten
  const { output, real, view } = memory
  const part = (of: Real, { dim, gated, rows }: GeluShape, at: 0 | 1): Handle =>
    view(of, [rows, dim], [gated ? 2 * dim : dim, 1], at * dim)

  /** x² · factor + 1 */
  const polynomial = (x: Handle, factor: number, { dim, rows }: GeluShape): Handle => {
    const made = room([rows, dim])
    mul(made, x, x)
    mul(made, made, constant(factor))
    addcmul(made, one, one)
    return made
  }
  const distribution = (x: Handle, shape: GeluShape): Handle => {
    const phi = shape.tanh ? polynomial(x, cubic, shape) : room([shape.rows, shape.dim])
    if (shape.tanh) {
      mul(phi, phi, x)
      mul(phi, phi, constant(inner))
      aten.tanh(phi, phi)
    } else {
      mul(phi, x, constant(Math.SQRT1_2))
      aten.erf(phi, phi)
    }
    addcmul(phi, one, one)
    mul(phi, phi, constant(0.5))
    return phi
  }
  /** Φ + x Φ′ */
  const slopeOf = (x: Handle, phi: Handle, shape: GeluShape): Handle => {
    const { dim, rows, tanh } = shape
    const density = tanh ? polynomial(x, 3 * cubic, shape) : room([rows, dim])
    if (tanh) {
      const rest = room([rows, dim])
      mul(rest, phi, constant(-1))
      addcmul(rest, one, one)
      mul(density, density, phi)
      mul(density, density, rest)
      mul(density, density, constant(2 * inner))
    } else {
      mul(density, x, x)
      mul(density, density, constant(-0.5))
      exp(density, density)
      mul(density, density, constant(1 / Math.sqrt(2 * Math.PI)))
    }
    mul(density, density, x)
    aten.add(density, phi)
    return density
  }

  return {
    gelu: (out, x, shape) => {
      const { dim, gated, rows } = shape
      const to = view(output("gelu", "out", out, rows * dim), [rows, dim])
      const from = real("gelu", "x", x, rows * dim * (gated ? 2 : 1))
      run("gelu", [rows, dim], () => {
        const gate = part(from, shape, 0)
        mul(to, gate, distribution(gate, shape))
        if (gated) mul(to, to, part(from, shape, 1))
      })
    },
    geluBackward: (dX, dOut, x, shape) => {
      const kernel = "geluBackward"
      const { dim, gated, rows } = shape
      const length = rows * dim * (gated ? 2 : 1)
      const to = output(kernel, "dX", dX, length)
      const gradient = view(real(kernel, "dOut", dOut, rows * dim), [rows, dim])
      const from = real(kernel, "x", x, length)
      run(kernel, [rows, dim], () => {
        const gate = part(from, shape, 0)
        const phi = distribution(gate, shape)
        const own = slopeOf(gate, phi, shape)
        mul(own, own, gradient)
        if (gated) {
          mul(own, own, part(from, shape, 1))
          // From here on x may be overwritten.
          mul(phi, phi, gate)
          mul(part(to, shape, 1), gradient, phi)
        }
        aten.copy(part(to, shape, 0), own)
      })
    }
  }
}
