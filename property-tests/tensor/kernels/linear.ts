import fc from "fast-check"
import { input, kernelLaw, output, size, sumOfProducts, updated } from "../kernelLaw.ts"

const sizes = { rows: size(60), inputs: size(90), outputs: size(90) }

// One row is generation, 300 and 600 rows cross any block of rows, inputs or outputs.
const large = [
  { rows: 1, inputs: 257, outputs: 515 },
  { rows: 131, inputs: 300, outputs: 203 },
  { rows: 601, inputs: 65, outputs: 129 }
]

export const linear = [
  kernelLaw("linear", {
    shapes: fc.record({ ...sizes, bias: fc.boolean() }),
    sample: { rows: 3, inputs: 5, outputs: 7, bias: true },
    always: large.map((shape, i) => ({ ...shape, bias: i === 1 })),
    build: ({ bias, inputs, outputs, rows }, draw) => ({
      reals: {
        out: output(rows * outputs),
        x: input(draw(rows * inputs)),
        w: input(draw(outputs * inputs)),
        ...(bias ? { bias: input(draw(outputs)) } : {})
      },
      ints: {},
      magnitude: { out: sumOfProducts(inputs) },
      call: (b, real) => b.linear(real("out"), real("x"), real("w"), bias ? real("bias") : null, rows, inputs, outputs)
    })
  }),
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
