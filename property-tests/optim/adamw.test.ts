import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { AdamW } from "../../src/optim/adamw.ts"
import { adamw, clipScale } from "../../src/optim/adamw.ts"

const update: AdamW = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.99,
  eps: 1e-8,
  weightDecay: 0,
  step: 1,
  gradScale: 1
}
const zeros = (n: number) => [new Float64Array(n), new Float64Array(n)] as const
/** x + 0 makes −0 a 0, which an update that adds 0 would do too. */
const vectors = fc.array(fc.double({ min: -5, max: 5, noNaN: true }).map((x) => x + 0), { minLength: 4, maxLength: 4 })

describe("AdamW", () => {
  it("by hand: two steps of gradient 3 and −1 with decay", () => {
    // Step 1: θ = 2 · (1 − 0.1 · 0.5) = 1.9; m̂ = 3, v̂ = 9: θ = 1.9 − 0.1 = 1.8.
    // Step 2: θ = 1.8 · 0.95 = 1.71; m = 0.9 · 0.3 − 0.1 = 0.17, m̂ = 0.17 / 0.19; v = 0.99 · 0.09 + 0.01 = 0.0991,
    // v̂ = 0.0991 / 0.0199.
    const [params, grads] = [Float64Array.of(2), Float64Array.of(3)]
    const [m, v] = zeros(1)
    adamw(params, grads, m, v, { ...update, eps: 0, weightDecay: 0.5 })
    assert.closeTo(params[0]!, 1.8, 1e-15)
    assert.strictEqual(grads[0], 0)
    grads[0] = -1
    adamw(params, grads, m, v, { ...update, eps: 0, weightDecay: 0.5, step: 2 })
    assert.closeTo(params[0]!, 1.71 - 0.1 * (0.17 / 0.19) / Math.sqrt(0.0991 / 0.0199), 1e-15)
  })

  it("invariant 36: learning rate 0, or gradient 0 without decay, leaves the weights as they are", () => {
    fc.assert(fc.property(vectors, vectors, (weights, gradient) => {
      const params = Float64Array.from(weights)
      const [m, v] = zeros(4)
      adamw(params, new Float64Array(4), m, v, update)
      assert.deepStrictEqual(Array.from(params), weights)
      adamw(params, Float64Array.from(gradient), m, v, { ...update, learningRate: 0, weightDecay: 0.1, step: 2 })
      assert.deepStrictEqual(Array.from(params), weights)
    }))
  })

  it("the first step is lr · sign(gradient), whatever its scale", () => {
    const away = vectors.map((xs) => xs.map((x) => x < 0 ? x - 1e-3 : x + 1e-3))
    fc.assert(fc.property(away, fc.double({ min: 0.5, max: 100, noNaN: true }), (gradient, gradScale) => {
      const params = new Float64Array(4)
      const [m, v] = zeros(4)
      adamw(params, Float64Array.from(gradient), m, v, { ...update, gradScale })
      params.forEach((p, i) => assert.closeTo(p, -0.1 * Math.sign(gradient[i]!), 1e-5))
    }))
  })

  it("invariant 36: a clipped norm is at most the maximum; a smaller one is left alone", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.double({ min: 1e-3, max: 10, noNaN: true }),
        (norm, max) => {
          assert.isAtMost(norm * clipScale(norm, max), max * (1 + 1e-15))
          if (norm <= max) assert.strictEqual(clipScale(norm, max), 1)
        }
      )
    )
    assert.strictEqual(clipScale(1e300, Infinity), 1)
    assert.closeTo(clipScale(4, 1), 0.25, 0)
  })

  it("a NaN gradient is not hidden", () => {
    const params = new Float64Array(1)
    const [m, v] = zeros(1)
    adamw(params, Float64Array.of(NaN), m, v, { ...update, gradScale: clipScale(NaN, 1) })
    assert.isNaN(params[0])
  })
})
