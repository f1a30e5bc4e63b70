import { assert } from "vitest"

export { finiteDifferences, masks, numbers, rowOffsets } from "../../src/testing/arrays.ts"

/** Every element within `tolerance` of the expected, relative where that is above 1. */
export const assertClose = (actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void => {
  assert.strictEqual(actual.length, expected.length, "length")
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!))
    assert.isTrue(error <= tolerance, `element ${i}: ${actual[i]} is not ${expected[i]} (error ${error})`)
  }
}

export const total = (xs: Float64Array): number => xs.reduce((sum, x) => sum + x, 0)

export const f64 = (...xs: ReadonlyArray<number>): Float64Array => Float64Array.from(xs)
export const i32 = (...xs: ReadonlyArray<number>): Int32Array => Int32Array.from(xs)
