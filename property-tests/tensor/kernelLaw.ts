import fc from "fast-check"
import { assert } from "vitest"
import type { Backend, Host, Ints, Tensor } from "../../src/tensor/backend.ts"
import { reference } from "../../src/tensor/reference.ts"

/**
 * One real buffer of a call. `in` is read and must not change, `inout` is read and written, `out` is only written: it holds
 * NaN in one run and a number in the other before the call.
 */
export type RealArgument =
  | { readonly role: "in" | "inout"; readonly data: Float32Array }
  | { readonly role: "out"; readonly length: number }

/** One call of a kernel: its buffers by name, and how they are passed. */
export interface KernelCase {
  readonly reals: Readonly<Record<string, RealArgument>>
  readonly ints: Readonly<Record<string, Int32Array>>
  /**
   * The size that results of this shape typically have (0 when absent). Errors are measured against the largest reference
   * result or this, whichever is larger, so that a result that happens to cancel to nearly nothing is not held to an
   * accuracy that no summation has.
   */
  readonly magnitude?: Readonly<Record<string, number>>
  /** The kernel only moves numbers: results must be equal. */
  readonly exact?: boolean
  /** Says whether results are right in place of a comparison with `reference`, which is then judged itself. */
  readonly judge?: (results: ReadonlyMap<string, Host>, tolerance: number) => void
  readonly call: (
    backend: Backend,
    real: (name: string) => Tensor,
    int: (name: string) => Ints
  ) => void
}

export const input = (data: Float32Array): RealArgument => ({ role: "in", data })
export const updated = (data: Float32Array): RealArgument => ({ role: "inout", data })
export const output = (length: number): RealArgument => ({ role: "out", length })

/** Float32 values (which every backend represents) uniform on [-gain, gain). */
export type Draw = (length: number, gain?: number) => Float32Array

/** Deterministic values from a seed (mulberry32). */
export const draws = (seed: number): Draw => {
  let state = seed | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return (length, gain = 1) => Float32Array.from({ length }, () => gain * (2 * next() - 1))
}

/** `length` integers in [0, below), from the same kind of seed. */
export const drawInts = (draw: Draw, length: number, below: number): Int32Array =>
  Int32Array.from(draw(length), (x) => Math.min(below - 1, Math.floor((x + 1) / 2 * below)))

/** `length` different integers in [0, below), in random order. */
export const distinctInts = (draw: Draw, length: number, below: number): Int32Array => {
  const keys = draw(below)
  return Int32Array.from(Array.from(keys, (_, i) => i).sort((a, b) => keys[a]! - keys[b]! || a - b).slice(0, length))
}

/** Typical size of a sum of `terms` products of two numbers uniform on [-1, 1): each has a standard deviation of 1/3. */
export const sumOfProducts = (terms: number): number => Math.sqrt(terms) / 3

export const maxAbs = (x: Host): number => {
  let max = 0
  for (const value of x) max = Math.max(max, Math.abs(value))
  return max
}

const guard = 777.5

/**
 * Runs a case with every buffer a slice that begins `padding`, `padding + 1`, … elements (modulo 4) into a larger buffer,
 * and checks that nothing beside the slices and no `in` buffer changed and that everything is given back.
 */
export const execute = (backend: Backend, example: KernelCase, poison: number, padding: number): Map<string, Host> => {
  const before = backend.memory().live
  const wholes = new Map<string, Tensor>()
  const slices = new Map<string, Tensor>()
  const ints = new Map<string, Ints>()
  const starts = new Map<string, number>()
  Object.entries(example.reals).forEach(([name, argument], i) => {
    const length = argument.role === "out" ? argument.length : argument.data.length
    const start = (padding + i) % 4
    const whole = backend.reals(start + length + 3)
    backend.write(whole, new Float32Array(start + length + 3).fill(guard))
    const slice = backend.slice(whole, start, length)
    backend.write(slice, argument.role === "out" ? new Float32Array(length).fill(poison) : argument.data)
    starts.set(name, start)
    wholes.set(name, whole)
    slices.set(name, slice)
  })
  for (const [name, data] of Object.entries(example.ints)) {
    const buffer = backend.ints(data.length)
    backend.writeInts(buffer, data)
    ints.set(name, buffer)
  }
  example.call(backend, (name) => slices.get(name)!, (name) => ints.get(name)!)
  const results = new Map<string, Host>()
  for (const [name, argument] of Object.entries(example.reals)) {
    const start = starts.get(name)!
    const all = backend.read(wholes.get(name)!)
    const result = all.slice(start, all.length - 3)
    const beside = [...all.slice(0, start), ...all.slice(all.length - 3)]
    assert.isTrue(
      beside.every((x) => x === guard),
      `${name}: elements beside the slice changed to ${beside.join(", ")}`
    )
    if (argument.role === "in") {
      const at = result.findIndex((x, i) => !Object.is(x, argument.data[i]!))
      assert.strictEqual(at, -1, `${name} is an input, and its element ${at} changed to ${result[at]}`)
    } else results.set(name, result)
  }
  for (const buffer of wholes.values()) backend.free(buffer)
  for (const buffer of ints.values()) backend.free(buffer)
  assert.strictEqual(backend.memory().live, before, "bytes live after freeing everything")
  return results
}

/** |actual − expected| ≤ tolerance · max(max |expected|, magnitude) for every element; NaN only where NaN is expected. */
export const assertClose = (
  label: string,
  actual: Host,
  expected: Host,
  tolerance: number,
  magnitude = 0
): void => {
  assert.strictEqual(actual.length, expected.length, `${label}: length`)
  let scale = magnitude
  for (const value of expected) if (Number.isFinite(value)) scale = Math.max(scale, Math.abs(value))
  const allowed = tolerance * scale
  for (let i = 0; i < expected.length; i++) {
    const want = expected[i]!
    const got = actual[i]!
    if (Object.is(want, got) || Math.abs(want - got) <= allowed) continue
    assert.fail(`${label}[${i}] is ${got}, expected ${want} ± ${allowed} (${expected.length} elements)`)
  }
}

export const assertSameBits = (label: string, first: Host, second: Host, when = "from run to run"): void => {
  const at = first.findIndex((x, i) => !Object.is(x, second[i]!))
  assert.strictEqual(at, -1, `${label}[${at}] differs ${when}: ${first[at]} and ${second[at]}`)
}

/** Agrees with `reference`, whatever the outputs held before, and bit for bit with itself. */
export const checkCase = (backend: Backend, example: KernelCase, tolerance: number, padding: number): void => {
  const actual = execute(backend, example, NaN, padding)
  const again = execute(backend, example, 12345, padding)
  for (const [name, first] of actual) assertSameBits(name, first, again.get(name)!)
  if (example.judge !== undefined) return example.judge(actual, tolerance)
  for (const [name, want] of execute(reference(), example, NaN, 0)) {
    if (example.reals[name]!.role === "out") assert.isFalse(want.some(Number.isNaN), `${name}: reference left NaN`)
    assertClose(name, actual.get(name)!, want, example.exact ? 0 : tolerance, example.magnitude?.[name])
  }
}

/** Fewer cases, for a backend whose every operation is slow. */
export interface Fewer {
  /** Generated cases of a kernel, and of its gradient. */
  readonly runs: number
  /** Elements of a case that is always tried and has no more of them: larger ones are left out. */
  readonly elements: number
}

const elementsOf = ({ reals }: KernelCase): number =>
  Object.values(reals).reduce((sum, one) => sum + (one.role === "out" ? one.length : one.data.length), 0)

/** One law per kernel and way of calling it: on every shape the backend agrees with `reference`. */
export interface KernelLaw {
  readonly name: string
  readonly check: (backend: Backend, tolerance: number, fewer?: Fewer) => void
  /** Calls `f` with the cases that are always tried and at most `runs` cases in all. */
  readonly forCases: (f: (example: KernelCase, padding: number) => void, runs?: number, elements?: number) => void
  /** A small case in which every dimension is 2 or more, for the test that wrong shapes throw. */
  readonly sample: KernelCase
}

export const kernelLaw = <Shape>(
  name: string,
  options: {
    readonly shapes: fc.Arbitrary<Shape>
    readonly build: (shape: Shape, draw: Draw) => KernelCase
    /** Every dimension is 2 or more. */
    readonly sample: Shape
    /** Shapes to try always: those that cross the blocks of a fast implementation, long rows, many rows. */
    readonly always?: ReadonlyArray<Shape>
    readonly runs?: number
  }
): KernelLaw => {
  const always = [options.sample, ...(options.always ?? [])]
  const forCases: KernelLaw["forCases"] = (f, runs = options.runs ?? 30, elements = Infinity) => {
    const examples = always.map((shape, i) => [shape, i, i % 4] as [Shape, number, number])
      .filter(([shape]) => elements === Infinity || elementsOf(options.build(shape, draws(1))) <= elements)
    fc.assert(
      fc.property(
        options.shapes,
        fc.integer(),
        fc.nat(3),
        (shape, seed, padding) => f(options.build(shape, draws(seed)), padding)
      ),
      { numRuns: Math.max(runs, examples.length), examples }
    )
  }
  return {
    name,
    sample: options.build(options.sample, draws(1)),
    forCases,
    check: (backend, tolerance, fewer) =>
      forCases((example, padding) => checkCase(backend, example, tolerance, padding), fewer?.runs, fewer?.elements)
  }
}

/** Mostly tiny, sometimes up to `max`: 1, odd numbers and everything that is not a multiple of a vector's width. */
export const size = (max: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 2, arbitrary: fc.integer({ min: 1, max: 9 }) }, {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max })
  })
