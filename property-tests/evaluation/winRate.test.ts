import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { type Judged, winRate } from "../../src/evaluation/winRate.ts"
import { stream } from "../../src/sampling/random.ts"

const verdicts = fc.array(
  fc.record({
    preference: fc.constantFrom(0, 0.5, 1),
    length: fc.integer({ min: 1, max: 500 }),
    baseline: fc.integer({ min: 1, max: 500 })
  }),
  { minLength: 3, maxLength: 30 }
)

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

/** Verdicts of a judge with quality θ and a taste φ for length, on answers that are `longer` by so much on average. */
const drawn = (n: number, theta: number, phi: number, longer: number, seed: string): ReadonlyArray<Judged> => {
  const random = stream(seed)
  const differences = Array.from({ length: n }, () => longer + 100 * random.normal())
  const mean = differences.reduce((sum, d) => sum + d, 0) / n
  const sigma = Math.sqrt(differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / n)
  return differences.map((d) => ({
    preference: random.next() < logistic(theta + phi * Math.tanh(d / sigma)) ? 1 : 0,
    length: 1000 + d,
    baseline: 1000
  }))
}

describe("the length-controlled win rate", () => {
  it("is 1 minus that of the other model", () => {
    fc.assert(fc.property(verdicts, (all) => {
      const one = winRate(all)
      const other = winRate(all.map(({ baseline, length, preference }) => ({
        preference: 1 - preference,
        length: baseline,
        baseline: length
      })))
      assert.closeTo(one.plain + other.plain, 1, 1e-9)
      assert.closeTo(one.lengthControlled + other.lengthControlled, 1, 1e-6)
      assert.closeTo(one.lengthBias, other.lengthBias, 1e-5)
    }))
  })

  it("is the win rate where lengths are alike, up to its prior", () => {
    fc.assert(fc.property(verdicts, (all) => {
      const { interval, lengthControlled, plain } = winRate(all.map((one) => ({ ...one, length: 10, baseline: 7 })))
      assert.closeTo(lengthControlled, plain, 0.02)
      assert.isTrue(interval!.low <= plain && plain <= interval!.high)
    }))
  })

  it("is finite where every verdict is for one side, or length alone decides", () => {
    for (const [preference, length] of [[1, 5], [0, 5], [1, 500]] as const) {
      const { lengthBias, lengthControlled } = winRate(
        [1, 2, 3, 4].map((baseline) => ({ preference, length, baseline }))
      )
      assert.isTrue(Number.isFinite(lengthBias) && lengthControlled > 0 && lengthControlled < 1)
    }
  })

  it("finds a judge's quality beneath a taste for length that hides it, in about 95 % of its intervals", () => {
    const trials = 300
    let [inside, controlled, plain] = [0, 0, 0]
    for (let t = 0; t < trials; t++) {
      // Worse answers that are longer: the judge prefers them, and at equal lengths it would not.
      const found = winRate(drawn(300, -0.5, 1.5, 60, `win/${t}`))
      const { high, low } = found.lengthControlledInterval!
      if (low <= logistic(-0.5) && logistic(-0.5) <= high) inside++
      controlled += found.lengthControlled / trials
      plain += found.plain / trials
    }
    assert.closeTo(controlled, logistic(-0.5), 0.01)
    assert.isAbove(plain, 0.5)
    assert.closeTo(inside / trials, 0.95, 0.04)
  })
})
