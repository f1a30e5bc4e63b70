import fc from "fast-check"
import type { GeluShape } from "../../../src/tensor/backend.ts"
import { input, kernelLaw, output, size, updated } from "../kernelLaw.ts"
import type { Draw, RealArgument } from "../kernelLaw.ts"

interface Shape extends GeluShape {
  /** Gates up to ± this: at 200 squares and cubes are large, and the result is 0 or the gate. */
  readonly gain: number
  readonly inPlace: boolean
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  rows: size(40),
  dim: size(200),
  gated: fc.boolean(),
  tanh: fc.boolean(),
  gain: fc.constantFrom(1, 8, 200),
  inPlace: fc.boolean()
})
const sample: Shape = { rows: 3, dim: 5, gated: true, tanh: true, gain: 1, inPlace: false }
const always: ReadonlyArray<Shape> = [true, false].flatMap((tanh) =>
  [true, false].map((gated) => ({ rows: 70, dim: 171, gated, tanh, gain: 8, inPlace: gated }))
)

const inputs = (draw: Draw, { dim, gain, gated, rows }: Shape): Float32Array => {
  const width = gated ? 2 * dim : dim
  return draw(rows * width).map((x, i) => i % width < dim ? gain * x : x)
}

export const gelu = [
  kernelLaw("gelu", {
    shapes,
    sample,
    always,
    build: (shape, draw) => ({
      reals: { out: output(shape.rows * shape.dim), x: input(inputs(draw, shape)) },
      ints: {},
      magnitude: { out: shape.gain / 8 },
      call: (b, real) => b.gelu(real("out"), real("x"), shape)
    })
  }),
  kernelLaw("geluBackward", {
    shapes,
    sample,
    always,
    build: (shape, draw) => {
      const x = inputs(draw, shape)
      const reals: Record<string, RealArgument> = shape.inPlace
        ? { x: updated(x) }
        : { x: input(x), dX: output(x.length) }
      return {
        reals: { dOut: input(draw(shape.rows * shape.dim)), ...reals },
        ints: {},
        magnitude: { [shape.inPlace ? "x" : "dX"]: shape.gain / 8 },
        call: (b, real) => b.geluBackward(real(shape.inPlace ? "x" : "dX"), real("dOut"), real("x"), shape)
      }
    }
  })
]
