import fc from "fast-check"
import { it } from "vitest"
import type { AttentionShape, Backend, Ints, NormShape, Tensor } from "../../src/tensor/backend.ts"
import { assertClose } from "./kernelLaw.ts"

type Values = Readonly<Record<string, Float64Array>>

type Put = (data: ArrayLike<number>) => Tensor

/** A backend whose buffers are given back after each computation. */
interface Session {
  readonly compute: <A>(f: (b: Backend, put: Put) => A) => A
  /** Step of the differences and the error that they leave. */
  readonly h: number
  readonly tolerance: number
}

/**
 * The four-point difference errs by h⁴/30 of a fifth derivative and about u / h of the loss, u the unit roundoff: with
 * h = 1e-5 in double precision that is 1e-11 or so, with h = 2⁻⁷ in single precision 1e-9 of the derivative and, for losses of
 * up to 30, 2e-4. Inputs and steps are binary fractions, so that float32 holds them exactly.
 */
const sessionOf = (backend: Backend): Session => ({
  h: backend.realBytes === 8 ? 1e-5 : 2 ** -7,
  tolerance: backend.realBytes === 8 ? 1e-7 : 1e-3,
  compute: (f) => {
    const buffers: Array<Tensor | Ints> = []
    const keep = <B extends Tensor | Ints>(buffer: B): B => {
      buffers.push(buffer)
      return buffer
    }
    const tracked: Backend = {
      ...backend,
      reals: (length) => keep(backend.reals(length)),
      ints: (length) => keep(backend.ints(length))
    }
    try {
      return f(tracked, (data) => {
        const tensor = tracked.reals(data.length)
        backend.write(tensor, Float64Array.from(data))
        return tensor
      })
    } finally {
      for (const buffer of buffers) backend.free(buffer)
    }
  }
})

const intsOf = (b: Backend, data: ArrayLike<number>) => {
  const ints = b.ints(data.length)
  b.writeInts(ints, Int32Array.from(data))
  return ints
}

/** Compares a backward kernel with differences of Σ dOut · forward(inputs), the sum in double precision. */
const assertGradients = (
  { h, tolerance }: Session,
  inputs: Values,
  dOut: Float64Array,
  forward: (inputs: Values) => Float64Array,
  gradients: Values
): void => {
  const loss = (values: Values) => forward(values).reduce((sum, x, i) => sum + x * dOut[i]!, 0)
  for (const [name, actual] of Object.entries(gradients)) {
    const expected = inputs[name]!.map((_, i) => {
      const at = (step: number) => loss({ ...inputs, [name]: inputs[name]!.map((x, j) => i === j ? x + step : x) })
      return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    })
    assertClose(`d${name}`, actual, expected, tolerance, 1)
  }
}

/** Multiples of 2⁻¹⁰ up to `gain`. */
const doubles = (length: number, gain = 1): fc.Arbitrary<Float64Array> =>
  fc.array(fc.integer({ min: -1024, max: 1024 }), { minLength: length, maxLength: length }).map((xs) =>
    Float64Array.from(xs, (x) => gain * x / 1024)
  )

const arrays = (lengths: Readonly<Record<string, number>>): fc.Arbitrary<Record<string, Float64Array>> =>
  fc.record(Object.fromEntries(Object.entries(lengths).map(([name, length]) => [name, doubles(length)])))

/** Mostly tiny, sometimes more than a vector holds. */
const dim = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 4 }) }, {
  weight: 1,
  arbitrary: fc.constantFrom(8, 17)
})
const checker =
  (numRuns: number) =>
  <T>(shapes: fc.Arbitrary<T>, values: (shape: T) => fc.Arbitrary<Values>, f: (s: T, v: Values) => void) =>
    fc.assert(
      fc.property(shapes.chain((shape) => values(shape).map((v) => [shape, v] as const)), ([shape, v]) => f(shape, v)),
      { numRuns }
    )

const read = (b: Backend, tensor: Tensor): Float64Array => Float64Array.from(b.read(tensor))

/** Every backward kernel against finite differences of the backend's own forward kernel. */
export const gradientLaws = (backend: () => Backend, runs = 40): void => {
  const check = checker(runs)
  const laws: Readonly<Record<string, (on: Session) => void>> = {
    "embed": (on) =>
      check(
        fc.record({ rows: dim, vocab: dim, dim }),
        ({ dim, rows, vocab }) => arrays({ table: vocab * dim, dOut: rows * dim }),
        ({ dim, rows, vocab }, values) => {
          const ids = Array.from({ length: rows }, (_, i) => i * 3 % vocab)
          assertGradients(
            on,
            values,
            values["dOut"]!,
            ({ table }) =>
              on.compute((b, put) => {
                const out = b.reals(rows * dim)
                b.embed(out, put(table!), intsOf(b, ids), dim)
                return read(b, out)
              }),
            on.compute((b, put) => {
              const table = put(new Float64Array(vocab * dim))
              b.embedBackward(table, put(values["dOut"]!), intsOf(b, ids), dim)
              return { table: read(b, table) }
            })
          )
        }
      ),

    "linear": (on) =>
      check(
        fc.record({ rows: dim, inputs: dim, outputs: dim }),
        ({ inputs, outputs, rows }) =>
          arrays({ x: rows * inputs, w: outputs * inputs, bias: outputs, dOut: rows * outputs }),
        ({ inputs, outputs, rows }, values) =>
          assertGradients(
            on,
            values,
            values["dOut"]!,
            ({ bias, w, x }) =>
              on.compute((b, put) => {
                const out = b.reals(rows * outputs)
                b.linear(out, put(x!), put(w!), put(bias!), rows, inputs, outputs)
                return read(b, out)
              }),
            on.compute((b, put) => {
              const x = put(new Float64Array(rows * inputs).fill(NaN))
              const w = put(new Float64Array(outputs * inputs))
              const bias = put(new Float64Array(outputs))
              const args = [put(values["dOut"]!), put(values["x"]!), put(values["w"]!), rows, inputs, outputs] as const
              b.linearBackward({ dX: x, accumulate: false, dW: w, dBias: bias }, ...args)
              return { x: read(b, x), w: read(b, w), bias: read(b, bias) }
            })
          )
      ),

    "rmsNorm, plain, grouped and strided": (on) =>
      check(
        fc.record({ rows: dim, groups: dim, dim, before: fc.nat(2), after: fc.nat(2), plus: fc.constantFrom(0, 1) }),
        ({ after, before, dim, groups, rows }) => {
          const stride = before + groups * dim + after
          return arrays({ x: rows * stride, weight: dim, dOut: rows * stride })
        },
        ({ after, before, dim, groups, plus, rows }, values) => {
          const shape: NormShape = {
            rows,
            groups,
            dim,
            stride: before + groups * dim + after,
            offset: before,
            eps: 0.25,
            plus
          }
          // Elements around the groups pass through, in place: their gradient is the one that arrives.
          const forward = ({ weight, x }: Values) =>
            on.compute((b, put) => {
              const out = put(x!)
              const inv = b.reals(rows * groups)
              b.rmsNorm(out, out, put(weight!), inv, shape)
              return { out: read(b, out), inv: read(b, inv) }
            })
          const { inv } = forward(values)
          assertGradients(
            on,
            values,
            values["dOut"]!,
            (inputs) => forward(inputs).out,
            on.compute((b, put) => {
              const dX = put(values["dOut"]!)
              const dWeight = put(new Float64Array(dim))
              const into = { dX, accumulate: false, dWeight }
              b.rmsNormBackward(into, dX, put(values["x"]!), put(values["weight"]!), put(inv), shape)
              return { x: read(b, dX), weight: read(b, dWeight) }
            })
          )
        }
      ),

    "layerNorm": (on) =>
      check(
        fc.record({ rows: dim, dim: fc.integer({ min: 2, max: 9 }) }),
        ({ dim, rows }) => arrays({ x: rows * dim, weight: dim, bias: dim, dOut: rows * dim }),
        ({ dim, rows }, values) => {
          const shape = { rows, dim, eps: 0.25 }
          const forward = ({ bias, weight, x }: Values) =>
            on.compute((b, put) => {
              const [out, stats] = [b.reals(rows * dim), b.reals(2 * rows)]
              b.layerNorm(out, put(x!), put(weight!), put(bias!), stats, shape)
              return { out: read(b, out), stats: read(b, stats) }
            })
          const { stats } = forward(values)
          assertGradients(
            on,
            values,
            values["dOut"]!,
            (inputs) => forward(inputs).out,
            on.compute((b, put) => {
              const dX = put(values["x"]!.map(() => NaN))
              const [dWeight, dBias] = [put(new Float64Array(dim)), put(new Float64Array(dim))]
              const saved = [put(values["x"]!), put(values["weight"]!), put(stats)] as const
              b.layerNormBackward({ dX, accumulate: false, dWeight, dBias }, put(values["dOut"]!), ...saved, shape)
              return { x: read(b, dX), weight: read(b, dWeight), bias: read(b, dBias) }
            })
          )
        }
      ),

    "rope": (on) =>
      check(
        fc.record({ rows: dim, heads: dim, half: dim, rest: fc.nat(2), after: fc.nat(3) }),
        ({ after, half, heads, rest, rows }) => {
          const stride = (2 * half + rest) * heads + after
          return arrays({ x: rows * stride, dOut: rows * stride, angles: rows * half })
        },
        ({ after, half, heads, rest, rows }, values) => {
          const headDim = 2 * half + rest
          const shape = { heads, headDim, turned: 2 * half, stride: headDim * heads + after }
          const rotated = (data: Float64Array, inverse: boolean) =>
            on.compute((b, put) => {
              const x = put(data)
              const angles = values["angles"]!.map((a) => 3 * a)
              const positions = intsOf(b, Array.from({ length: rows }, (_, i) => rows - 1 - i))
              b.rope(x, put(angles.map(Math.cos)), put(angles.map(Math.sin)), positions, { ...shape, inverse })
              return read(b, x)
            })
          const gradients = { x: rotated(values["dOut"]!, true) }
          assertGradients(on, values, values["dOut"]!, ({ x }) => rotated(x!, false), gradients)
        }
      ),

    "attention, with shared key heads, windows and packed sequences": (on) =>
      check(
        fc.record({
          kvHeads: fc.integer({ min: 1, max: 2 }),
          ratio: fc.integer({ min: 1, max: 2 }),
          headDim: fc.integer({ min: 1, max: 3 }),
          window: fc.nat(3),
          cap: fc.constantFrom(0, 1.5),
          lengths: fc.array(dim, { minLength: 1, maxLength: 3 })
        }),
        ({ headDim, kvHeads, lengths, ratio }) => {
          const rows = lengths.reduce((a, b) => a + b, 0)
          return fc.record({
            qkv: doubles(rows * (ratio + 2) * kvHeads * headDim, 2),
            dOut: doubles(rows * ratio * kvHeads * headDim)
          })
        },
        ({ cap, headDim, kvHeads, lengths, ratio, window }, values) => {
          const shape: AttentionShape = { heads: kvHeads * ratio, kvHeads, headDim, scale: 0.7, window, cap }
          const starts = lengths.reduce((all, length) => [...all, all.at(-1)! + length], [0])
          const rows = starts.at(-1)!
          const forward = ({ qkv }: Values) =>
            on.compute((b, put) => {
              const out = b.reals(rows * shape.heads * headDim)
              const lse = b.reals(rows * shape.heads)
              b.attention(out, lse, put(qkv!), intsOf(b, starts), shape)
              return { out: read(b, out), lse: read(b, lse) }
            })
          const { lse, out } = forward(values)
          assertGradients(
            on,
            values,
            values["dOut"]!,
            (inputs) => forward(inputs).out,
            on.compute((b, put) => {
              const dQkv = put(values["qkv"]!.map(() => NaN))
              const saved = [put(values["qkv"]!), put(out), put(lse), intsOf(b, starts)] as const
              b.attentionBackward(dQkv, put(values["dOut"]!), ...saved, shape)
              return { qkv: read(b, dQkv) }
            })
          )
        }
      ),

    "swiglu": (on) =>
      check(
        fc.record({ rows: dim, dim }),
        ({ dim, rows }) => fc.record({ gateUp: doubles(rows * 2 * dim, 5), dOut: doubles(rows * dim) }),
        ({ dim, rows }, values) =>
          assertGradients(
            on,
            values,
            values["dOut"]!,
            ({ gateUp }) =>
              on.compute((b, put) => {
                const out = b.reals(rows * dim)
                b.swiglu(out, put(gateUp!), rows, dim)
                return read(b, out)
              }),
            on.compute((b, put) => {
              const gateUp = put(values["gateUp"]!)
              b.swigluBackward(gateUp, put(values["dOut"]!), gateUp, rows, dim)
              return { gateUp: read(b, gateUp) }
            })
          )
      ),

    "gelu": (on) =>
      check(
        fc.record({ rows: dim, dim, gated: fc.boolean(), tanh: fc.boolean() }),
        ({ dim, gated, rows }) => fc.record({ x: doubles(rows * dim * (gated ? 2 : 1), 3), dOut: doubles(rows * dim) }),
        (shape, values) =>
          assertGradients(
            on,
            values,
            values["dOut"]!,
            ({ x }) =>
              on.compute((b, put) => {
                const out = b.reals(shape.rows * shape.dim)
                b.gelu(out, put(x!), shape)
                return read(b, out)
              }),
            on.compute((b, put) => {
              const x = put(values["x"]!)
              b.geluBackward(x, put(values["dOut"]!), x, shape)
              return { x: read(b, x) }
            })
          )
      ),

    "head at any temperature, with and without a cap": (on) =>
      check(
        fc.record({
          rows: dim,
          dim,
          vocab: dim,
          temperature: fc.constantFrom(1, 0.5, 2),
          cap: fc.constantFrom(0, 2)
        }),
        ({ dim, rows, vocab }) =>
          fc.record({ h: doubles(rows * dim, 2), w: doubles(vocab * dim, 2), dOut: doubles(rows) }),
        ({ cap, dim, rows, temperature, vocab }, values) => {
          const shape = { rows, dim, vocab, temperature, cap }
          const targets = Array.from({ length: rows }, (_, i) => i * 3 % vocab)
          const forward = ({ h, w }: Values) =>
            on.compute((b, put) => {
              const out = { logps: b.reals(rows), lse: b.reals(rows), entropy: b.reals(rows) }
              b.head(out, put(h!), put(w!), intsOf(b, targets), shape)
              return { logps: read(b, out.logps), lse: read(b, out.lse) }
            })
          const { lse } = forward(values)
          assertGradients(
            on,
            values,
            values["dOut"]!,
            (inputs) => forward(inputs).logps,
            on.compute((b, put) => {
              const h = put(values["h"]!.map(() => NaN))
              const w = put(new Float64Array(vocab * dim))
              const saved = [put(values["h"]!), put(values["w"]!), intsOf(b, targets), put(lse)] as const
              b.headBackward({ dH: h, dW: w }, put(values["dOut"]!), ...saved, shape)
              return { h: read(b, h), w: read(b, w) }
            })
          )
        }
      )
  }
  for (const [name, law] of Object.entries(laws)) it(name, () => law(sessionOf(backend())))
}
