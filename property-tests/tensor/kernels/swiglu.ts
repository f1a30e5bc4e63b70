import fc from "fast-check"
import { input, kernelLaw, output, size, updated } from "../kernelLaw.ts"
import type { Draw } from "../kernelLaw.ts"

// Gates up to ±200, where e⁻ˣ overflows or vanishes in float32.
const gain = fc.constantFrom(1, 8, 200)
const shapes = fc.record({ rows: size(40), dim: size(200), gain })
const always = [{ rows: 130, dim: 171, gain: 8 }, { rows: 2, dim: 20011, gain: 8 }]

// Half the gates are positive, gain / 2 on average, and |up| is 1/2 on average: a single gate of −90, whose result float32
// cannot represent, is measured as it would be among others.
const typical = (gain: number): number => gain / 8

const gateUps = (draw: Draw, rows: number, dim: number, gain: number): Float32Array =>
  draw(rows * 2 * dim).map((x, i) => i % (2 * dim) < dim ? gain * x : x)

export const swiglu = [
  kernelLaw("swiglu", {
    shapes,
    sample: { rows: 3, dim: 5, gain: 1 },
    always,
    build: ({ dim, gain, rows }, draw) => ({
      reals: { out: output(rows * dim), gateUp: input(gateUps(draw, rows, dim, gain)) },
      ints: {},
      magnitude: { out: typical(gain) },
      call: (b, real) => b.swiglu(real("out"), real("gateUp"), rows, dim)
    })
  }),
  kernelLaw("swigluBackward", {
    shapes: fc.record({ rows: size(40), dim: size(200), gain, inPlace: fc.boolean() }),
    sample: { rows: 3, dim: 5, gain: 1, inPlace: false },
    always: always.map((shape) => ({ ...shape, inPlace: true })),
    build: ({ dim, gain, inPlace, rows }, draw) => ({
      reals: {
        dOut: input(draw(rows * dim)),
        ...(inPlace
          ? { gateUp: updated(gateUps(draw, rows, dim, gain)) }
          : { gateUp: input(gateUps(draw, rows, dim, gain)), dGateUp: output(rows * 2 * dim) })
      },
      ints: {},
      magnitude: { [inPlace ? "gateUp" : "dGateUp"]: typical(gain) },
      call: (b, real) => b.swigluBackward(real(inPlace ? "gateUp" : "dGateUp"), real("dOut"), real("gateUp"), rows, dim)
    })
  })
]
