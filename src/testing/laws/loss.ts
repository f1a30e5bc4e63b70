/** Laws of losses: pure functions of flat arrays that return their value and its exact gradient. */
import fc from "fast-check"
import assert from "node:assert/strict"
import { finiteDifferences } from "../arrays.ts"

export interface GradientOptions<A> extends fc.Parameters<[A]> {
  /** Largest error of an element, relative where the difference is above 1. Default: 1e-6. */
  readonly tolerance?: number
  /** Half the distance of the two points of a difference. Default: 1e-5. */
  readonly step?: number
}

/**
 * The gradient is the finite difference: `at` picks the array to vary, `loss` is the loss with another array in its
 * place. Draw inputs away from points where the loss has no derivative (the corners of a clip).
 */
export const gradient = <A>(
  inputs: fc.Arbitrary<A>,
  at: (inputs: A) => Float64Array,
  loss: (
    inputs: A,
    x: Float64Array
  ) => { readonly loss: number; readonly gradient: Float64Array },
  { step = 1e-5, tolerance = 1e-6, ...parameters }: GradientOptions<A> = {}
): void =>
  fc.assert(
    fc.property(inputs, (drawn) => {
      const x = at(drawn)
      const before = x.slice()
      const exact = loss(drawn, x).gradient
      assert.deepEqual(x, before, "the loss changed its input")
      assert.equal(exact.length, x.length)
      const expected = finiteDifferences((moved) => loss(drawn, moved).loss, x, step)
      expected.forEach((slope, i) => {
        const error = Math.abs(exact[i]! - slope) / Math.max(1, Math.abs(slope))
        assert.ok(error <= tolerance, `element ${i}: the gradient is ${exact[i]}, the difference ${slope}`)
      })
    }),
    parameters
  )

/** A loss fails closed: a NaN anywhere in the input makes the loss NaN or infinite, so that a stage ends there. */
export const failsClosed = <A>(
  inputs: fc.Arbitrary<A>,
  at: (inputs: A) => Float64Array,
  loss: (inputs: A, x: Float64Array) => { readonly loss: number },
  parameters: fc.Parameters<[A, number]> = {}
): void =>
  fc.assert(
    fc.property(inputs, fc.nat(), (drawn, n) => {
      const x = at(drawn).slice()
      if (x.length === 0) return
      x[n % x.length] = Number.NaN
      assert.ok(!Number.isFinite(loss(drawn, x).loss), "a NaN was hidden")
    }),
    parameters
  )
