import fc from "fast-check"

/** Inputs of a loss: numbers by token or by row, and the rows that own them. */

/** Arrays of numbers in [min, max]. */
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

/** Ragged rows: offsets, with a number in [min, max] for each token under each name. */
export const ragged = <const N extends string>(
  min: number,
  max: number,
  ...names: ReadonlyArray<N>
): fc.Arbitrary<{ readonly offsets: Int32Array } & { readonly [K in N]: Float64Array }> =>
  rowOffsets.chain((offsets) =>
    fc.record(Object.fromEntries(names.map((name) => [name, numbers(min, max, offsets.at(-1)!)])))
      .map((tokens) => ({ ...tokens, offsets }) as never)
  )

/** Central differences of a scalar function of an array. */
export const finiteDifferences = (f: (x: Float64Array) => number, at: Float64Array, step = 1e-5): Float64Array =>
  at.map((x, i) => {
    const [above, below] = [at.slice(), at.slice()]
    above[i] = x + step
    below[i] = x - step
    return (f(above) - f(below)) / (2 * step)
  })
