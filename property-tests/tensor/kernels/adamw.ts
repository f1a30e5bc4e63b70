import fc from "fast-check"
import { kernelLaw, size, updated } from "../kernelLaw.ts"

export const adamw = [
  kernelLaw("adamw", {
    shapes: fc.record({
      length: size(3000),
      learningRate: fc.constantFrom(1e-3, 0.1, 1),
      beta1: fc.constantFrom(0, 0.9),
      beta2: fc.constantFrom(0.95, 0.999),
      eps: fc.constantFrom(1e-8, 1e-5),
      weightDecay: fc.constantFrom(0, 0.1),
      step: fc.constantFrom(1, 2, 10, 1000),
      gradScale: fc.constantFrom(1, 0.25, 1e-3)
    }),
    sample: {
      length: 7,
      learningRate: 0.1,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.1,
      step: 3,
      gradScale: 0.5
    },
    always: [{
      length: 50_021,
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.1,
      step: 10,
      gradScale: 0.5
    }],
    build: ({ length, ...update }, draw) => {
      const fresh = update.step === 1
      return {
        reals: {
          params: updated(draw(length)),
          grads: updated(draw(length)),
          m: updated(draw(length, fresh ? 0 : 1)),
          v: updated(draw(length, fresh ? 0 : 1).map((x) => Math.abs(x)))
        },
        ints: {},
        // What is subtracted and added up is of the size of the parameters and gradients drawn.
        magnitude: { params: 0.5, m: 0.5 },
        call: (b, real) => b.adamw(real("params"), real("grads"), real("m"), real("v"), update)
      }
    }
  })
]
