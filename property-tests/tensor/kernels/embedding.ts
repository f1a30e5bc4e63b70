import fc from "fast-check"
import { distinctInts, drawInts, input, kernelLaw, output, size, updated } from "../kernelLaw.ts"

const shapes = fc.record({ rows: size(60), vocab: size(80), dim: size(70) })
const sample = { rows: 5, vocab: 3, dim: 6 }

export const embedding = [
  kernelLaw("embed", {
    shapes,
    sample,
    build: ({ dim, rows, vocab }, draw) => ({
      reals: { out: output(rows * dim), table: input(draw(vocab * dim)) },
      ints: { ids: drawInts(draw, rows, vocab) },
      exact: true,
      call: (b, real, int) => b.embed(real("out"), real("table"), int("ids"), dim)
    })
  }),
  // Few ids and many rows: most rows of the table get several gradients.
  kernelLaw("embedBackward", {
    shapes,
    sample,
    always: [{ rows: 300, vocab: 2, dim: 33 }, { rows: 2000, vocab: 40, dim: 7 }, { rows: 3, vocab: 2, dim: 20011 }],
    build: ({ dim, rows, vocab }, draw) => ({
      reals: { dTable: updated(draw(vocab * dim)), dOut: input(draw(rows * dim)) },
      ints: { ids: drawInts(draw, rows, vocab) },
      magnitude: { dTable: Math.sqrt((1 + rows / vocab) / 3) },
      call: (b, real, int) => b.embedBackward(real("dTable"), real("dOut"), int("ids"), dim)
    })
  }),
  kernelLaw("gatherRows", {
    shapes,
    sample,
    build: ({ dim, rows, vocab }, draw) => ({
      reals: { out: output(rows * dim), x: input(draw(vocab * dim)) },
      ints: { rows: drawInts(draw, rows, vocab) },
      exact: true,
      call: (b, real, int) => b.gatherRows(real("out"), real("x"), int("rows"), dim)
    })
  }),
  kernelLaw("scatterRows", {
    shapes: fc.record({ rows: size(60), others: fc.nat(20), dim: size(70) }),
    sample: { rows: 3, others: 2, dim: 6 },
    build: ({ dim, others, rows }, draw) => ({
      reals: { out: output((rows + others) * dim), x: input(draw(rows * dim)) },
      ints: { rows: distinctInts(draw, rows, rows + others) },
      exact: true,
      call: (b, real, int) => b.scatterRows(real("out"), real("x"), int("rows"), dim)
    })
  })
]
