import fc from "fast-check"
import { drawInts, input, kernelLaw, size, updated } from "../kernelLaw.ts"

/** cos and sin of position · base^(−2c / headDim), [positions, headDim / 2], base 10,000 (Su et al. 2021, §3.2.2). */
export const ropeTables = (positions: number, headDim: number) => {
  const half = headDim / 2
  const angle = (i: number) => Math.floor(i / half) * 10000 ** (-(i % half) / half)
  return {
    cos: Float32Array.from({ length: positions * half }, (_, i) => Math.cos(angle(i))),
    sin: Float32Array.from({ length: positions * half }, (_, i) => Math.sin(angle(i)))
  }
}

export const rope = [
  kernelLaw("rope", {
    shapes: fc.record({
      rows: size(40),
      heads: fc.integer({ min: 1, max: 6 }),
      half: size(32),
      /** Elements of a head that do not turn. */
      rest: fc.constantFrom(0, 0, 1, 2, 7, 16),
      /** Elements of a row after the rotated heads. */
      after: fc.oneof(fc.constant(0), size(40)),
      positions: size(100),
      inverse: fc.boolean()
    }),
    sample: { rows: 3, heads: 2, half: 3, rest: 0, after: 4, positions: 5, inverse: false },
    always: [{ rows: 150, heads: 6, half: 32, rest: 0, after: 64, positions: 150, inverse: false }, {
      rows: 1500,
      heads: 3,
      half: 4,
      rest: 5,
      after: 8,
      positions: 1500,
      inverse: true
    }],
    build: ({ after, half, heads, inverse, positions, rest, rows }, draw) => {
      const turned = 2 * half
      const headDim = turned + rest
      const stride = heads * headDim + after
      const { cos, sin } = ropeTables(positions, turned)
      return {
        reals: { x: updated(draw(rows * stride)), cos: input(cos), sin: input(sin) },
        ints: { positions: drawInts(draw, rows, positions) },
        call: (b, real, int) =>
          b.rope(real("x"), real("cos"), real("sin"), int("positions"), { heads, headDim, turned, stride, inverse })
      }
    }
  })
]
