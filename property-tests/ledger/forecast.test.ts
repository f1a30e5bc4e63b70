import { assert, describe, it } from "vitest"
import { forecast } from "../../src/ledger/forecast.ts"
import { type CurveForm, goldAt } from "../../src/ledger/overoptimization.ts"
import { stream } from "../../src/sampling/random.ts"
import { text, trajectories } from "../../src/report/overOptimisation.ts"
import type { Event } from "../../src/store/runLog.ts"

const run = (form: CurveForm, noise: number, key: string) => {
  const random = stream(key)
  return Array.from({ length: 20 }, (_, i) => {
    const d = 0.25 * (i + 1)
    return { d, gold: goldAt({ form, a: 1, b: 0.5 }, d) + noise * random.normal() }
  })
}

/** Twenty measurements at growing distance. */
const curve = (gold: (d: number, i: number) => number, noise: number, key: string) => {
  const random = stream(key)
  return Array.from({ length: 20 }, (_, i) => {
    const d = 0.25 * (i + 1)
    return { d, gold: gold(d, i) + noise * random.normal() }
  })
}

/** Over 300 runs of this kind: mean errors, how often the law was taken, and the share within two standard errors. */
const over300 = (make: (key: string) => ReturnType<typeof run>) => {
  const all = Array.from({ length: 300 }, (_, i) => forecast(make(`noise ${i}`))!)
  const mean = (of: (one: typeof all[number]) => number) => all.reduce((sum, one) => sum + of(one), 0) / all.length
  return {
    error: mean(({ error }) => error),
    law: mean(({ errors }) => errors.law!),
    unchanged: mean(({ errors }) => errors.unchanged),
    byLaw: mean(({ by }) => by === "law" ? 1 : 0),
    within: mean(({ rest, within }) => within / rest.length)
  }
}

describe("a forecast from the first half of a run", () => {
  it("is exact where the law holds without noise, its peak among it", () => {
    const found = forecast(run("rl", 0, ""))!
    assert.strictEqual(found.by, "law")
    assert.isBelow(found.error, 1e-9)
    assert.closeTo(found.peak!.d, Math.exp(1), 1e-9)
    assert.isAbove(found.errors.unchanged, 0.1)
    assert.strictEqual(found.errors.law, found.error)
    assert.strictEqual(found.seen, 10)
    assert.lengthOf(found.rest, 10)
  })

  it("by the law where it is seen: much better than 'nothing changes', and two standard errors hold 90 % or more", () => {
    const seen = over300((key) => run("rl", 0.02, key))
    assert.isAtLeast(seen.byLaw, 0.95)
    assert.isAtMost(seen.error, seen.unchanged / 3)
    assert.isAtLeast(seen.within, 0.9)
    // With more noise it is seen in half of the runs.
    const noisy = over300((key) => run("rl", 0.1, key))
    assert.isTrue(noisy.byLaw > 0.3 && noisy.byLaw < 0.7)
    assert.isBelow(noisy.error, noisy.unchanged)
    assert.isAtLeast(noisy.within, 0.9)
  })

  it("that nothing changes where no law is seen: worse than that by no more than noise, and two standard errors still hold", () => {
    for (
      const [what, noise, gold] of [
        ["nothing but noise", 0.1, () => 0],
        ["the law under noise of its own size", 0.3, (d) => goldAt({ form: "rl", a: 1, b: 0.5 }, d)],
        ["a rise that turns after what was seen", 0.05, (d) => Math.min(d, 5.25 - d)],
        ["a rise that ends after what was seen", 0.05, (d) => Math.min(d, 2.5)],
        ["a fall from step to step", 0.05, (_, i) => 1 - 0.05 * i]
      ] as ReadonlyArray<readonly [string, number, (d: number, i: number) => number]>
    ) {
      const made = over300((key) => curve(gold, noise, key))
      const said = `${what}: ${JSON.stringify(made)}`
      assert.isAtMost(made.error, made.unchanged + noise, said)
      assert.isAtLeast(made.within, 0.9, said)
      // What fitting alone would have cost.
      assert.isAbove(made.law, made.unchanged, said)
    }
  })

  it("grows less certain the further ahead, and takes no law from too few measurements to try it", () => {
    const { bend, by, peak, rest, trial } = forecast(curve((d) => d, 0, "").slice(0, 10))!
    assert.deepStrictEqual([by, peak, trial.law], ["unchanged", null, null])
    assert.isNotNull(bend)
    // A rise of a quarter a measurement: as far off as it says.
    for (const [i, { foreseen, gold, standardError }] of rest.entries()) {
      assert.closeTo(gold - foreseen, 0.25 * (i + 1), 1e-12)
      assert.closeTo(standardError, 0.25 * (i + 1), 1e-12)
    }
  })

  it("of another law is scored as what it is: wrong", () => {
    const found = forecast(run("bestOfN", 0, ""))!
    assert.isAbove(found.error, 0.2)
  })

  it("says nothing from fewer than 4 measurements", () => {
    assert.isNull(forecast(run("rl", 0, "").slice(0, 7)))
  })
})

describe("over-optimisation of a run", () => {
  // The first is where it starts.
  const events: ReadonlyArray<Event> = [{ d: 0, gold: 0 }, ...run("rl", 0, "")].flatMap(
    ({ d, gold }, i): ReadonlyArray<Event> => {
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
    }
  )

  it("reads gold, proxy and KL from the initial model out of the events, each step once", () => {
    const [one, ...more] = trajectories([...events, ...events.slice(-3)])
    assert.lengthOf(more, 0)
    assert.lengthOf(one!.points, 21)
    assert.closeTo(one!.points[4]!.d, 1, 1e-12)
    assert.strictEqual(one!.points[4]!.proxy, one!.points[4]!.d)
    assert.strictEqual(one!.from, "sft-1")
  })

  it("prints the table, both laws and the forecast", () => {
    const said = text(trajectories(events))
    assert.match(said, /^Over-optimisation of ppo-1/u)
    assert.match(said, /RL +d \(a − b log d\): a [\d.-]+ ± [\d.]+, b [\d.-]+ ± [\d.]+/u)
    assert.match(said, /best of n +d \(a − b d\): a/u)
    assert.match(
      said,
      /Forecast from the first 10 measurements: the law of RL \(peak .*\) \(from the first half of them the second: the law off by 0\.000, “nothing changes” by [\d.]+; it is seen to bend, b in \[0\.500, 0\.500\]\)\. Held against the other 11: off by 0\.000; “nothing changes” by/u
    )
    assert.strictEqual(text([]), "")
  })
})
