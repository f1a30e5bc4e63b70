import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { type CurveForm, fitGold, goldAt, peakOf } from "../../src/ledger/overoptimization.ts"
import { stream } from "../../src/sampling/random.ts"

const coefficient = fc.double({ min: 0.05, max: 2, noNaN: true })
const form = fc.constantFrom<CurveForm>("bestOfN", "rl")
const law = fc.record({ form, a: coefficient, b: coefficient }).filter(({ a, b, form }) =>
  form === "bestOfN" || a / b < 5
)

describe("invariant 40: over-optimisation", () => {
  it("gold reward is 0 at no distance and has one peak, which is where it is said to be", () => {
    fc.assert(fc.property(law, fc.double({ min: 0.01, max: 3, noNaN: true }), (law, by) => {
      assert.strictEqual(goldAt(law, 0), 0)
      const peak = peakOf(law)!
      assert.closeTo(goldAt(law, peak.d), peak.gold, 1e-9)
      if (by !== 1) assert.isBelow(goldAt(law, by * peak.d), peak.gold + 1e-12)
      const formula = law.form === "bestOfN" ? law.a ** 2 / (4 * law.b) : law.b * peak.d
      assert.closeTo(peak.gold, formula, 1e-9 * Math.max(1, formula))
    }))
  })
  it("it is concave, and with b of 0 it never falls", () => {
    fc.assert(fc.property(law, fc.tuple(coefficient, coefficient), (law, [x, y]) => {
      const middle = goldAt(law, (x + y) / 2)
      assert.isAtLeast(middle, (goldAt(law, x) + goldAt(law, y)) / 2 - 1e-12)
      assert.isNull(peakOf({ ...law, b: 0 }))
    }))
  })
  it("the coefficients of the reproduction (.913, .122) peak at d 3.742, 14.0 nats, with 1.708 of gold", () => {
    const peak = peakOf({ form: "bestOfN", a: 0.913, b: 0.122 })!
    assert.closeTo(peak.d, 3.742, 5e-4)
    assert.closeTo(peak.d ** 2, 14.0, 5e-3)
    assert.closeTo(peak.gold, 1.708, 5e-4)
  })
  it("fitting recovers planted coefficients exactly, and says nothing from one distance", () => {
    fc.assert(fc.property(law, (law) => {
      const at = [0.3, 0.9, 1.7, 2.6, 4]
      const fit = fitGold(law.form, at.map((d) => ({ d, gold: goldAt(law, d) })))!
      assert.closeTo(fit.law.a, law.a, 1e-8)
      assert.closeTo(fit.law.b, law.b, 1e-8)
      assert.isBelow(fit.residual, 1e-8)
      assert.isNull(fitGold(law.form, [{ d: 1.3, gold: 1 }, { d: 1.3, gold: 2 }]))
    }))
  })
  it("two standard errors around a fit hold the planted coefficient in about 95 % of noisy fits", () => {
    const planted = { form: "bestOfN", a: 0.7, b: 0.12 } as const
    let within = 0
    const repetitions = 400
    for (let n = 0; n < repetitions; n++) {
      const { normal } = stream(`overoptimization/${n}`)
      const points = Array.from({ length: 30 }, (_, i) => {
        const d = 0.2 * (i + 1)
        return { d, gold: goldAt(planted, d) + 0.1 * normal() }
      })
      const fit = fitGold("bestOfN", points)!
      if (Math.abs(fit.law.a - planted.a) <= 2.05 * fit.standardError.a) within++
    }
    assert.closeTo(within / repetitions, 0.95, 0.03)
  })
})
