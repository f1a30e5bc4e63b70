import fc from "fast-check"
import type { NormShape } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { execute, input, kernelLaw, maxAbs, output, size, updated } from "../kernelLaw.ts"
import type { Draw, KernelCase, RealArgument } from "../kernelLaw.ts"

interface Shape {
  readonly rows: number
  readonly groups: number
  readonly dim: number
  /** Elements of a row before and after the groups: the query and value heads around key heads, say. */
  readonly before: number
  readonly after: number
  readonly eps: number
  /** 0 when left out. */
  readonly plus?: number
  /** Whether the output is the input (forward), or dX is dOut (backward). */
  readonly inPlace: boolean
}

const around = fc.oneof(fc.constant(0), size(40))
const eps = fc.constantFrom(1e-5, 1e-6, 0.1)

const shapes: fc.Arbitrary<Shape> = fc.oneof(
  fc.record({
    rows: size(40),
    groups: fc.constant(1),
    dim: size(300),
    before: fc.constant(0),
    after: fc.constant(0),
    eps,
    plus: fc.constantFrom(0, 1),
    inPlace: fc.boolean()
  }),
  fc.record({
    rows: size(12),
    groups: fc.integer({ min: 1, max: 5 }),
    dim: size(64),
    before: around,
    after: around,
    eps,
    plus: fc.constantFrom(0, 1),
    inPlace: fc.boolean()
  })
)

const sample: Shape = { rows: 3, groups: 2, dim: 5, before: 10, after: 5, eps: 1e-5, inPlace: false }
const always: ReadonlyArray<Shape> = [
  { rows: 2, groups: 1, dim: 20011, before: 0, after: 0, eps: 1e-6, inPlace: false },
  { rows: 5001, groups: 1, dim: 3, before: 0, after: 0, eps: 1e-6, inPlace: false },
  { rows: 1, groups: 1, dim: 1, before: 0, after: 0, eps: 1e-5, inPlace: true },
  { rows: 200, groups: 1, dim: 67, before: 0, after: 0, eps: 1e-6, inPlace: true }
]

const normShape = ({ after, before, dim, eps, groups, plus = 0, rows }: Shape): NormShape => ({
  rows,
  groups,
  dim,
  stride: before + groups * dim + after,
  offset: before,
  eps,
  plus
})

const inGroups = (shape: NormShape, i: number): boolean => {
  const c = i % shape.stride
  return c >= shape.offset && c < shape.offset + shape.groups * shape.dim
}

/** NaN inside the groups, where everything must be written, and numbers around them, which must be left alone. */
const poisonedGroups = (shape: NormShape, draw: Draw): RealArgument =>
  updated(draw(shape.rows * shape.stride).map((x, i) => inGroups(shape, i) ? NaN : x))

const forward = (shape: Shape, draw: Draw): KernelCase => {
  const norm = normShape(shape)
  const x = draw(norm.rows * norm.stride, 3)
  return {
    reals: {
      ...(shape.inPlace ? { x: updated(x) } : { x: input(x), out: poisonedGroups(norm, draw) }),
      weight: input(draw(norm.dim)),
      inv: output(norm.rows * norm.groups)
    },
    ints: {},
    call: (b, real) => b.rmsNorm(real(shape.inPlace ? "x" : "out"), real("x"), real("weight"), real("inv"), norm)
  }
}

type Gradient = "write" | "in place" | "accumulate"

type BackwardShape = Shape & { readonly gradient: Gradient; readonly dWeight: boolean }

const backward = (shape: BackwardShape, draw: Draw): KernelCase => {
  const norm = normShape(shape)
  const length = norm.rows * norm.stride
  const run = forward({ ...shape, inPlace: false }, draw)
  const { data: x } = run.reals["x"] as { readonly data: Float32Array }
  const { data: weight } = run.reals["weight"] as { readonly data: Float32Array }
  const inv = Float32Array.from(execute(reference(), run, NaN, 0).get("inv")!)
  const dX = shape.gradient === "in place" ? "dOut" : "dX"
  const dOut = draw(length)
  return {
    reals: {
      ...(shape.gradient === "in place"
        ? { dOut: updated(dOut) }
        : { dOut: input(dOut), dX: shape.gradient === "write" ? poisonedGroups(norm, draw) : updated(draw(length)) }),
      ...(shape.dWeight ? { dWeight: updated(draw(norm.dim)) } : {}),
      x: input(x),
      weight: input(weight),
      inv: input(inv)
    },
    ints: {},
    // The gradient is a difference of two terms of this size; with dim 1 they cancel.
    magnitude: { [dX]: maxAbs(inv) * (norm.plus + maxAbs(weight)), dWeight: Math.sqrt(norm.rows * norm.groups) },
    call: (b, real) =>
      b.rmsNormBackward(
        {
          dX: real(dX),
          accumulate: shape.gradient === "accumulate",
          dWeight: shape.dWeight ? real("dWeight") : null
        },
        real("dOut"),
        real("x"),
        real("weight"),
        real("inv"),
        norm
      )
  }
}

export const rmsNorm = [
  kernelLaw("rmsNorm", { shapes, sample, always, build: forward }),
  kernelLaw("rmsNormBackward", {
    shapes: fc.tuple(shapes, fc.constantFrom<Gradient>("write", "in place", "accumulate"), fc.boolean()).map(
      ([shape, gradient, dWeight]): BackwardShape => ({ ...shape, gradient, dWeight })
    ),
    sample: { ...sample, gradient: "write", dWeight: true },
    always: always.map((shape, i): BackwardShape => ({
      ...shape,
      gradient: i === 0 ? "accumulate" : "in place",
      dWeight: true
    })),
    build: backward
  })
]
