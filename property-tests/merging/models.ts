/** Random models of one network for the laws of merging. */
import fc from "fast-check"
import { assert } from "vitest"
import type { Tensors } from "../../src/engine/engine.ts"

const shapes: Readonly<Record<string, ReadonlyArray<number>>> = { embed: [3, 2], norm: [2], "layer.q": [2, 2] }

const number = fc.double({ min: -3, max: 3, noNaN: true })

/** In double precision, so that a law holds to 1e-12 and not to 1e-7. */
export const tensors: fc.Arbitrary<Tensors> = fc.record(
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const length = shape.reduce((product, size) => product * size, 1)
      return [name, fc.array(number, { minLength: length, maxLength: length })]
    })
  )
).map((drawn) =>
  new Map(Object.entries(drawn).map(([name, data]) => [name, { shape: shapes[name]!, data: Float64Array.from(data) }]))
)

/** Weights of n models that add to 1; some may be negative. */
export const weights = (n: number): fc.Arbitrary<ReadonlyArray<number>> =>
  fc.array(fc.double({ min: -1, max: 2, noNaN: true }), { minLength: n - 1, maxLength: n - 1 })
    .map((some) => [...some, 1 - some.reduce((sum, w) => sum + w, 0)])

/** The elements of all tensors, one after the other. */
export const flat = (of: Tensors): ReadonlyArray<number> => [...of.values()].flatMap(({ data }) => [...data])

/** The same elements everywhere, to `tolerance` relative to the largest. */
export const assertSame = (actual: Tensors, expected: Tensors, tolerance = 1e-12): void => {
  assert.deepStrictEqual([...actual.keys()], [...expected.keys()])
  for (const [name, { data, shape }] of expected) {
    assert.deepStrictEqual(actual.get(name)!.shape, shape, name)
    const scale = Math.max(1, ...Array.from(data, Math.abs))
    actual.get(name)!.data.forEach((x, i) => assert.closeTo(x, data[i]!, tolerance * scale, `${name}[${i}]`))
  }
}

/** One tensor "x" of plain numbers. */
export const vector = (...data: ReadonlyArray<number>): Tensors =>
  new Map([["x", { shape: [data.length], data: Float64Array.from(data) }]])
