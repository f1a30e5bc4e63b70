import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { kl, type KlEstimator } from "../../src/losses/kl.ts"
import { assertClose, f64, finiteDifferences, i32, numbers, rowOffsets, total } from "./gradients.ts"
import { klLoss } from "./klLoss.ts"

const estimators: ReadonlyArray<KlEstimator> = ["k1", "k2", "k3"]
const levels = ["token", "sequence"] as const
const samples = rowOffsets.chain((offsets) => {
  const n = offsets[offsets.length - 1]!
  return fc.record({ offsets: fc.constant(offsets), logps: numbers(-3, 0, n), refLogps: numbers(-3, 0, n) })
})

/** Distributions over six outcomes, and the derivative with respect to logits θ of P by the score function. */
const softmax = (logits: Float64Array): Float64Array => {
  const weights = logits.map(Math.exp)
  return weights.map((w) => w / total(weights))
}
const distributions = fc.record({ p: numbers(-2, 2, 6), q: numbers(-2, 2, 6) })
const exactKl = (p: Float64Array, q: Float64Array): number => total(p.map((x, i) => x * Math.log(x / q[i]!)))
const single = i32(0, 1)

describe("KL estimators", () => {
  it("by hand", () => {
    // Row 1: d = ln 2 and −ln 2; row 2: d = 0. k3 = e⁻ᵈ − 1 + d: ln 2 − 1/2 and 1 − ln 2.
    const [logps, ref, offsets] = [f64(-1, -1 - Math.LN2, -2), f64(-1 - Math.LN2, -1, -2), i32(0, 2, 3)]
    assertClose(kl(logps, ref, offsets, "k1").tokens, [Math.LN2, -Math.LN2, 0], 1e-15)
    assertClose(kl(logps, ref, offsets, "k2").sequences, [Math.LN2 ** 2, 0], 1e-15)
    const k3 = kl(logps, ref, offsets, "k3")
    assertClose(k3.tokens, [Math.LN2 - 0.5, 1 - Math.LN2, 0], 1e-15)
    // Sums 1/2 and 0: mean 1/4, variance 1/8, standard error √(1/16) = 1/4; per token 1/6.
    assertClose([k3.mean, k3.standardError, k3.meanPerToken], [1 / 4, 1 / 4, 1 / 6], 1e-15)
    // Three rows with sums 1, 2 and 6: variance (4 + 1 + 9) / 2 = 7, standard error √(7 / 3).
    assert.closeTo(kl(f64(1, 2, 6), f64(0, 0, 0), i32(0, 1, 2, 3), "k1").standardError, Math.sqrt(7 / 3), 1e-15)
    // Losses: the token level divides by 3, the sequence level (d = 0 and 0) by 2.
    assert.closeTo(klLoss(logps, ref, offsets, { estimator: "k3", level: "token" }).loss, 1 / 6, 1e-15)
    assert.closeTo(klLoss(logps, ref, offsets, { estimator: "k3", level: "sequence" }).loss, 0, 1e-15)
  })

  it("invariant 34: the gradient is the finite difference, for every estimator and level", () => {
    fc.assert(fc.property(samples, ({ offsets, ...far }) => {
      // Nearer, so that e⁻ᵈ of a whole sequence stays a number whose differences are accurate.
      const [logps, refLogps] = [far.logps.map((x) => x / 3), far.refLogps.map((x) => x / 3)]
      for (const estimator of estimators) {
        for (const level of levels) {
          const f = (x: Float64Array) => klLoss(x, refLogps, offsets, { estimator, level })
          assertClose(f(logps).gradient, finiteDifferences((x) => f(x).loss, logps), 1e-7)
        }
      }
    }))
  })

  it("invariant 2: k2 and k3 are never negative, 0 at equality; k1 can be negative", () => {
    fc.assert(fc.property(samples, ({ logps, offsets, refLogps }) => {
      for (const estimator of ["k2", "k3"] as const) {
        assert.isTrue(kl(logps, refLogps, offsets, estimator).tokens.every((k) => k >= 0))
        assert.strictEqual(kl(logps, logps, offsets, estimator).mean, 0)
      }
    }))
    assert.strictEqual(kl(f64(-2), f64(-1), single, "k1").mean, -1)
  })

  it("invariant 2: E[k1] = E[k3] = KL exactly; E[k2] − KL is of third order", () => {
    const expected = (estimator: KlEstimator, p: Float64Array, q: Float64Array): number =>
      total(p.map((x, i) => x * kl(f64(Math.log(x)), f64(Math.log(q[i]!)), single, estimator).mean))
    fc.assert(fc.property(distributions, (logits) => {
      const [p, q] = [softmax(logits.p), softmax(logits.q)]
      assert.closeTo(expected("k1", p, q), exactKl(p, q), 1e-12)
      assert.closeTo(expected("k3", p, q), exactKl(p, q), 1e-12)
    }))
    const bias = (h: number): number => {
      const [p, q] = [softmax(f64(0, 0, 0)), softmax(f64(h, -h / 3, h / 2))]
      return Math.abs(expected("k2", p, q) - exactKl(p, q))
    }
    // Halving the distance divides a third-order term by 8.
    assert.closeTo(bias(0.01) / bias(0.005), 8, 0.1)
  })

  it("invariant 3: as a loss: k1 trains nothing, k2 has ∇KL(π‖ref), k3 has ∇KL(ref‖π)", () => {
    fc.assert(fc.property(distributions, ({ p: theta, q: logits }) => {
      const [p, q] = [softmax(theta), softmax(logits)]
      const expectedGradient = (estimator: KlEstimator): Float64Array => {
        const gradient = new Float64Array(p.length)
        p.forEach((x, y) => {
          const slope = klLoss(f64(Math.log(x)), f64(Math.log(q[y]!)), single, { estimator, level: "token" })
            .gradient[0]!
          p.forEach((other, i) => {
            gradient[i]! += x * slope * ((i === y ? 1 : 0) - other)
          })
        })
        return gradient
      }
      assertClose(expectedGradient("k1"), new Float64Array(p.length), 1e-15)
      assertClose(expectedGradient("k2"), finiteDifferences((x) => exactKl(softmax(x), q), theta), 1e-8)
      assertClose(expectedGradient("k3"), finiteDifferences((x) => exactKl(q, softmax(x)), theta), 1e-8)
    }))
  })

  it("k3 keeps its digits near 0", () => {
    // k3(d) = d²/2 − d³/6 + …; without expm1 it would be 0 or noise of 10⁻¹⁶.
    const d = 1e-7
    assert.closeTo(kl(f64(d), f64(0), single, "k3").mean / (d * d / 2), 1, 1e-2)
    assert.closeTo(
      klLoss(f64(1e-12), f64(0), single, { estimator: "k3", level: "token" }).gradient[0]! / 1e-12,
      1,
      1e-9
    )
  })

  it("invariant 20: losses of micro-batches with the whole batch's denominator add up", () => {
    fc.assert(fc.property(samples, ({ logps, offsets, refLogps }) => {
      for (const level of levels) {
        const denominator = level === "token" ? logps.length : offsets.length - 1
        const whole = klLoss(logps, refLogps, offsets, { estimator: "k2", level })
        const parts = Array.from(offsets.subarray(1)).map((end, row) => {
          const [a, b] = [logps.slice(offsets[row], end), refLogps.slice(offsets[row], end)]
          return klLoss(a, b, i32(0, a.length), { estimator: "k2", level, denominator })
        })
        assertClose([parts.reduce((sum, { loss }) => sum + loss, 0)], [whole.loss], 1e-12)
        assertClose(parts.flatMap(({ gradient }) => Array.from(gradient)), whole.gradient, 1e-12)
      }
    }))
  })

  it("no rows: 0; one row: no standard error; non-finite input comes through", () => {
    assert.strictEqual(kl(f64(), f64(), i32(0), "k1").mean, 0)
    assert.isNaN(kl(f64(-1), f64(-1), single, "k1").standardError)
    for (const estimator of estimators) {
      for (const x of [NaN, -Infinity]) {
        assert.isFalse(Number.isFinite(kl(f64(x), f64(-1), single, estimator).mean), `${estimator} ${x}`)
        assert.isFalse(Number.isFinite(kl(f64(-1), f64(x), single, estimator).mean), `${estimator} ref ${x}`)
      }
    }
  })
})
