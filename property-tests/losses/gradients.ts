import { assert } from "vitest"
import fc from "fast-check"

/** Central differences of a scalar function of an array. */
export const finiteDifferences = (f: (x: Float64Array) => number, at: Float64Array, step = 1e-5): Float64Array =>
  at.map((x, i) => {
    const [above, below] = [at.slice(), at.slice()]
    above[i] = x + step
    below[i] = x - step
    return (f(above) - f(below)) / (2 * step)
  })

/** Every element within `tolerance` of the expected, relative where that is above 1. */
export const assertClose = (actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void => {
  assert.strictEqual(actual.length, expected.length, "length")
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!))
    assert.isTrue(error <= tolerance, `element ${i}: ${actual[i]} is not ${expected[i]} (error ${error})`)
  }
}

export const total = (xs: Float64Array): number => xs.reduce((sum, x) => sum + x, 0)

export const numbers = (min: number, max: number, length: number): fc.Arbitrary<Float64Array> =>
  fc.array(fc.double({ min, max, noNaN: true }), { minLength: length, maxLength: length })
    .map((xs) => Float64Array.from(xs))

/** Masks of 0 and 1. */
export const masks = (length: number): fc.Arbitrary<Array<number>> =>
  fc.array(fc.constantFrom(0, 1), { minLength: length, maxLength: length })

/** Offsets of 1 to 4 rows with 1 to 5 tokens each. */
export const rowOffsets: fc.Arbitrary<Int32Array> = fc.array(fc.integer({ min: 1, max: 5 }), {
  minLength: 1,
  maxLength: 4
}).map((lengths) => {
  const offsets = new Int32Array(lengths.length + 1)
  lengths.forEach((length, i) => {
    offsets[i + 1] = offsets[i]! + length
  })
  return offsets
})

export const f64 = (...xs: ReadonlyArray<number>): Float64Array => Float64Array.from(xs)
export const i32 = (...xs: ReadonlyArray<number>): Int32Array => Int32Array.from(xs)
