import { assert, describe, it } from "vitest"
import { forecast } from "../../src/ledger/forecast.ts"
import { type Form, goldAt } from "../../src/ledger/overoptimization.ts"
import { stream } from "../../src/sampling/random.ts"
import { text, trajectories } from "../../src/report/overOptimisation.ts"
import type { Event } from "../../src/store/runLog.ts"

const run = (form: Form, noise: number, key: string) => {
  const random = stream(key)
  return Array.from({ length: 20 }, (_, i) => {
    const d = 0.25 * (i + 1)
    return { d, gold: goldAt({ form, a: 1, b: 0.5 }, d) + noise * random.normal() }
  })
}

describe("a forecast from the first half of a run", () => {
  it("is exact where the law holds without noise, its peak among it", () => {
    const found = forecast(run("rl", 0, ""))!
    assert.isBelow(found.error, 1e-9)
    assert.closeTo(found.peak!.d, Math.exp(1), 1e-9)
    assert.isAbove(found.naive, 0.1)
    assert.strictEqual(found.seen, 10)
    assert.lengthOf(found.rest, 10)
  })

  it("with noise its two standard errors hold about 95 % of what comes, and it is better than 'nothing changes'", () => {
    let [within, of, better] = [0, 0, 0]
    for (let i = 0; i < 300; i++) {
      const found = forecast(run("rl", 0.02, `noise ${i}`))!
      within += found.within
      of += found.rest.length
      if (found.error < found.naive) better++
    }
    // Ten points and two coefficients: normal intervals are a little too narrow.
    assert.isAtLeast(within / of, 0.88)
    assert.isAtMost(within / of, 0.98)
    assert.isAtLeast(better / 300, 0.9)
  })

  it("of another law is scored as what it is: wrong", () => {
    const found = forecast(run("bestOfN", 0, ""), 0.5, "rl")!
    assert.isAbove(found.error, 0.2)
  })

  it("says nothing from fewer than 4 measurements", () => {
    assert.isNull(forecast(run("rl", 0, "").slice(0, 7)))
  })
})

describe("over-optimisation of a run", () => {
  const events: ReadonlyArray<Event> = run("rl", 0, "").flatMap(({ d, gold }, i): ReadonlyArray<Event> => {
    const measurement = {
      stage: "ppo-1",
      step: i,
      from: "sft-1",
      estimator: "k1",
      direction: "reverse",
      temperature: 1,
      mean: d * d,
      standardError: 0,
      perToken: 0,
      samples: 8,
      cap: null
    } as const
    return [
      { _tag: "Measured", measurement: { ...measurement, against: "reference", mean: 1e9 } },
      { _tag: "Measured", measurement },
      { _tag: "Observed", stage: "ppo-1", step: i, samples: 8, observed: { gold, gold_se: 0.1, proxy: d } }
    ]
  })

  it("reads gold, proxy and KL from the initial model out of the events, each step once", () => {
    const [one, ...more] = trajectories([...events, ...events.slice(-3)])
    assert.lengthOf(more, 0)
    assert.lengthOf(one!.points, 20)
    assert.closeTo(one!.points[3]!.d, 1, 1e-12)
    assert.strictEqual(one!.points[3]!.proxy, one!.points[3]!.d)
    assert.strictEqual(one!.from, "sft-1")
  })

  it("prints the table, both laws and the forecast", () => {
    const said = text(trajectories(events))
    assert.match(said, /^Over-optimisation of ppo-1/u)
    assert.match(said, /RL +d \(a − b log d\): a [\d.-]+ ± [\d.]+, b [\d.-]+ ± [\d.]+/u)
    assert.match(said, /best of n +d \(a − b d\): a/u)
    assert.match(said, /Forecast from the first 10 measurements .* held against the other 10: off by/u)
    assert.strictEqual(text([]), "")
  })
})
