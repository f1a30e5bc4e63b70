import fc from "fast-check"
import type { Backend } from "../../../src/tensor/backend.ts"
import { input, kernelLaw, output, size, sumOfProducts, updated } from "../kernelLaw.ts"
import type { Draw, KernelCase } from "../kernelLaw.ts"

const sizes = { rows: size(60), inputs: size(90), outputs: size(90) }

// One row is generation, 300 and 600 rows cross any block of rows, inputs or outputs, 5,000 inputs are the longest sum.
const large = [
  { rows: 1, inputs: 257, outputs: 515 },
  { rows: 131, inputs: 300, outputs: 203 },
  { rows: 601, inputs: 65, outputs: 129 },
  { rows: 7, inputs: 5001, outputs: 19 },
  { rows: 70, inputs: 1031, outputs: 33 },
  { rows: 1200, inputs: 5, outputs: 3 }
]

interface Shape {
  readonly rows: number
  readonly inputs: number
  readonly outputs: number
  readonly bias: boolean
  readonly residual: boolean
}

type Product = (b: Backend, ...args: Parameters<Backend["linear"]>) => void

const build = (product: Product) => ({ bias, inputs, outputs, residual, rows }: Shape, draw: Draw): KernelCase => ({
  reals: {
    out: output(rows * outputs),
    x: input(draw(rows * inputs)),
    w: input(draw(outputs * inputs)),
    ...(bias ? { bias: input(draw(outputs)) } : {}),
    ...(residual ? { residual: input(draw(rows * outputs)) } : {})
  },
  ints: {},
  magnitude: { out: sumOfProducts(inputs) },
  call: (b, real) =>
    product(
      b,
      real("out"),
      real("x"),
      real("w"),
      bias ? real("bias") : null,
      rows,
      inputs,
      outputs,
      ...(residual ? [real("residual")] : [])
    )
})

/** `packWeight`, into memory that held NaN, and `linearPacked`. */
const packed: Product = (b, out, x, w, bias, rows, inputs, outputs, residual) => {
  const weight = b.reals(b.packedLength(inputs, outputs))
  b.write(weight, new Float32Array(weight.length).fill(NaN))
  try {
    b.packWeight(weight, w, inputs, outputs)
    b.linearPacked(out, x, weight, bias, rows, inputs, outputs, residual)
  } finally {
    b.free(weight)
  }
}

const forward = {
  shapes: fc.record({ ...sizes, bias: fc.boolean(), residual: fc.boolean() }),
  sample: { rows: 3, inputs: 5, outputs: 7, bias: true, residual: true },
  always: [
    ...large.map((shape, i) => ({ ...shape, bias: i % 2 === 1, residual: i % 3 === 1 })),
    // Every number of rows up to what a decoding batch has, one path or another.
    ...[2, 3, 4, 5, 8, 16, 17, 33, 64].map((rows) => ({ rows, inputs: 67, outputs: 83, bias: false, residual: true }))
  ],
  runs: 40
}

export const linear = [
  kernelLaw("linear", { ...forward, build: build((b, ...args) => b.linear(...args)) }),
  kernelLaw("packWeight and linearPacked", { ...forward, build: build(packed) }),
  kernelLaw("linearBackward", {
    shapes: fc.record({
      ...sizes,
      dX: fc.constantFrom<"none" | "write" | "accumulate">("none", "write", "accumulate"),
      dW: fc.boolean(),
      dBias: fc.boolean()
    }),
    sample: { rows: 3, inputs: 5, outputs: 7, dX: "write", dW: true, dBias: true },
    always: large.map((shape, i) => ({
      ...shape,
      dX: i === 1 ? "accumulate" as const : "write" as const,
      dW: true,
      dBias: true
    })),
    build: ({ dBias, dW, dX, inputs, outputs, rows }, draw) => ({
      reals: {
        ...(dX === "none"
          ? {}
          : { dX: dX === "accumulate" ? updated(draw(rows * inputs)) : output(rows * inputs) }),
        ...(dW ? { dW: updated(draw(outputs * inputs)) } : {}),
        ...(dBias ? { dBias: updated(draw(outputs)) } : {}),
        dOut: input(draw(rows * outputs)),
        x: input(draw(rows * inputs)),
        w: input(draw(outputs * inputs))
      },
      ints: {},
      magnitude: { dX: sumOfProducts(outputs), dW: sumOfProducts(rows), dBias: sumOfProducts(rows) },
      call: (b, real) =>
        b.linearBackward(
          {
            dX: dX === "none" ? null : real("dX"),
            accumulate: dX === "accumulate",
            dW: dW ? real("dW") : null,
            dBias: dBias ? real("dBias") : null
          },
          real("dOut"),
          real("x"),
          real("w"),
          rows,
          inputs,
          outputs
        )
    })
  })
]
