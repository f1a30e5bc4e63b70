import { input, kernelLaw, output, size, updated } from "../kernelLaw.ts"

export const elementwise = [
  kernelLaw("scale", {
    shapes: size(5000),
    sample: 7,
    build: (length, draw) => ({
      reals: { x: updated(draw(length)) },
      ints: {},
      call: (b, real) => b.scale(real("x"), 2.75)
    })
  }),
  ...[0.5, 30].map((cap) =>
    kernelLaw("softcap", {
      shapes: size(5000),
      sample: 7,
      build: (length, draw) => ({
        reals: { x: updated(draw(length, 10)) },
        ints: {},
        call: (b, real) => b.softcap(real("x"), cap)
      })
    })
  ),
  kernelLaw("add", {
    shapes: size(5000),
    sample: 7,
    build: (length, draw) => ({
      reals: { out: updated(draw(length)), x: input(draw(length)) },
      ints: {},
      call: (b, real) => b.add(real("out"), real("x"))
    })
  }),
  kernelLaw("copy", {
    shapes: size(5000),
    sample: 7,
    build: (length, draw) => ({
      reals: { out: output(length), x: input(draw(length)) },
      ints: {},
      exact: true,
      call: (b, real) => b.copy(real("out"), real("x"))
    })
  }),
  ...[0.25, 1].map((rate) =>
    kernelLaw("lerp", {
      shapes: size(5000),
      sample: 7,
      build: (length, draw) => ({
        reals: { out: updated(draw(length)), x: input(draw(length)) },
        ints: {},
        // The whole way is a copy.
        exact: rate === 1,
        call: (b, real) => b.lerp(real("out"), real("x"), rate)
      })
    })
  )
]
