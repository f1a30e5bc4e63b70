import fc from "fast-check"
import { reference } from "../../../src/tensor/reference.ts"
import { execute, input, kernelLaw, maxAbs, output, size, updated } from "../kernelLaw.ts"
import type { Draw, KernelCase } from "../kernelLaw.ts"

interface Shape {
  readonly rows: number
  readonly dim: number
  readonly eps: number
  readonly bias: boolean
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  rows: size(40),
  // A row of one element is its own mean: all is rounding.
  dim: size(300).map((dim) => dim + 1),
  eps: fc.constantFrom(1e-5, 0.1),
  bias: fc.boolean()
})
const sample: Shape = { rows: 3, dim: 5, eps: 1e-5, bias: true }
const always: ReadonlyArray<Shape> = [
  { rows: 2, dim: 20_011, eps: 1e-5, bias: true },
  { rows: 2001, dim: 3, eps: 0.1, bias: false },
  { rows: 200, dim: 67, eps: 1e-5, bias: true }
]

const forward = ({ bias, dim, eps, rows }: Shape, draw: Draw): KernelCase => ({
  reals: {
    out: output(rows * dim),
    x: input(draw(rows * dim, 3).map((x) => x + 1)),
    weight: input(draw(dim)),
    ...(bias ? { bias: input(draw(dim)) } : {}),
    stats: output(2 * rows)
  },
  ints: {},
  magnitude: { out: 1 },
  call: (b, real) =>
    b.layerNorm(real("out"), real("x"), real("weight"), bias ? real("bias") : null, real("stats"), { rows, dim, eps })
})

type BackwardShape = Shape & { readonly accumulate: boolean; readonly sums: boolean }

const backward = (shape: BackwardShape, draw: Draw): KernelCase => {
  const { accumulate, bias, dim, eps, rows, sums } = shape
  const run = forward(shape, draw)
  const stats = Float32Array.from(execute(reference(), run, NaN, 0).get("stats")!)
  const inverse = stats.filter((_, i) => i % 2 === 1)
  return {
    reals: {
      dOut: input(draw(rows * dim)),
      dX: accumulate ? updated(draw(rows * dim)) : output(rows * dim),
      ...(sums ? { dWeight: updated(draw(dim)) } : {}),
      ...(sums && bias ? { dBias: updated(draw(dim)) } : {}),
      x: run.reals["x"]!,
      weight: run.reals["weight"]!,
      stats: input(stats)
    },
    ints: {},
    magnitude: { dX: maxAbs(inverse), dWeight: Math.sqrt(rows), dBias: Math.sqrt(rows) },
    call: (b, real) =>
      b.layerNormBackward(
        {
          dX: real("dX"),
          accumulate,
          dWeight: sums ? real("dWeight") : null,
          dBias: sums && bias ? real("dBias") : null
        },
        real("dOut"),
        real("x"),
        real("weight"),
        real("stats"),
        { rows, dim, eps }
      )
  }
}

export const layerNorm = [
  kernelLaw("layerNorm", { shapes, sample, always, build: forward }),
  kernelLaw("layerNormBackward", {
    shapes: fc.tuple(shapes, fc.boolean(), fc.boolean()).map(
      ([shape, accumulate, sums]): BackwardShape => ({ ...shape, accumulate, sums })
    ),
    sample: { ...sample, accumulate: false, sums: true },
    always: always.map((shape, i): BackwardShape => ({ ...shape, accumulate: i === 0, sums: true })),
    build: backward
  })
]
