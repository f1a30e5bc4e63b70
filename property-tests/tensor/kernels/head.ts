import fc from "fast-check"
import { reference } from "../../../src/tensor/reference.ts"
import { drawInts, execute, input, kernelLaw, output, size, sumOfProducts, updated } from "../kernelLaw.ts"
import type { Draw, KernelCase } from "../kernelLaw.ts"

interface Shape {
  readonly rows: number
  readonly dim: number
  readonly vocab: number
  readonly temperature: number
  readonly dW: boolean
  /** None when left out. */
  readonly cap?: number
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  rows: size(50),
  dim: size(70),
  vocab: size(150),
  temperature: fc.constantFrom(1, 0.5, 0.7, 1.5),
  dW: fc.boolean(),
  cap: fc.constantFrom(0, 0, 1, 30)
})

const sample: Shape = { rows: 3, dim: 5, vocab: 7, temperature: 0.7, dW: true }
const always: ReadonlyArray<Shape> = [
  { rows: 150, dim: 33, vocab: 515, temperature: 0.7, dW: true },
  { rows: 301, dim: 9, vocab: 33, temperature: 1, dW: true },
  { rows: 70, dim: 17, vocab: 515, temperature: 0.7, dW: true, cap: 2 },
  { rows: 1, dim: 65, vocab: 1031, temperature: 1.5, dW: false },
  { rows: 3, dim: 5, vocab: 20011, temperature: 0.7, dW: true },
  { rows: 1, dim: 1, vocab: 1, temperature: 1, dW: true }
]

const forward = ({ cap = 0, dim, rows, temperature, vocab }: Shape, draw: Draw): KernelCase => {
  // logps, lse and entropy are sums and differences of logits.
  const logit = 1 + sumOfProducts(dim) / temperature
  return {
    reals: {
      logps: output(rows),
      lse: output(rows),
      entropy: output(rows),
      h: input(draw(rows * dim)),
      w: input(draw(vocab * dim))
    },
    ints: { targets: drawInts(draw, rows, vocab) },
    magnitude: { logps: logit, lse: logit, entropy: logit },
    call: (b, real, int) =>
      b.head(
        { logps: real("logps"), lse: real("lse"), entropy: real("entropy") },
        real("h"),
        real("w"),
        int("targets"),
        { rows, dim, vocab, temperature, cap }
      )
  }
}

const backward = (shape: Shape, draw: Draw): KernelCase => {
  const { cap = 0, dW, dim, rows, temperature, vocab } = shape
  const run = forward(shape, draw)
  const lse = Float32Array.from(execute(reference(), run, NaN, 0).get("lse")!)
  return {
    reals: {
      dH: output(rows * dim),
      ...(dW ? { dW: updated(draw(vocab * dim)) } : {}),
      dLogps: input(draw(rows)),
      h: run.reals["h"]!,
      w: run.reals["w"]!,
      lse: input(lse)
    },
    ints: run.ints,
    // 1 − p times a weight; with one word in the vocabulary p is 1 and they cancel.
    magnitude: { dH: 1 / temperature, dW: 1 / temperature },
    call: (b, real, int) =>
      b.headBackward(
        { dH: real("dH"), dW: dW ? real("dW") : null },
        real("dLogps"),
        real("h"),
        real("w"),
        int("targets"),
        real("lse"),
        { rows, dim, vocab, temperature, cap }
      )
  }
}

export const head = [
  kernelLaw("head", { shapes, sample, always, build: forward }),
  kernelLaw("headBackward", { shapes, sample, always, build: backward })
]
