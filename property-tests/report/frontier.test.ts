import { assert, describe, it } from "vitest"
import { frontier } from "../../src/report/frontier.ts"
import type { Estimate, ModelReport, Report } from "../../src/store/report.ts"

const of = (mean: number): Estimate => ({ mean, standardError: 0.1, n: 10 })
const model = (kl: number | null, gold: number): ModelReport => ({
  name: `at ${kl}`,
  gold: of(gold),
  proxy: of(0),
  kl: kl === null ? null : of(kl),
  length: of(1),
  finished: 1,
  completions: []
})
const report = (models: ReadonlyArray<ModelReport>): Report => ({
  models,
  rewardAccuracy: null,
  prompts: [],
  goldGain: []
})
/** Gold of the law with a = 2, b = 1, whose peak e is at √KL = e. */
const law = (d: number) => model(d * d, 5 + d * (2 - Math.log(d)))

describe("the over-optimisation frontier", () => {
  it("recovers the law that made it, and says whether its peak was reached", () => {
    const near = frontier(report([model(0, 5), ...[1, 2, 4].map(law)]))
    assert.match(near, /a 2\.000 ± 0\.000, b 1\.000 ± 0\.000; peak of gold \+2\.718 at √KL 2\.718\.$/u)
    assert.match(
      frontier(report([model(0, 5), ...[0.5, 1, 2].map(law)])),
      /at √KL 2\.718, outside of what was measured/u
    )
    const rising = [1, 2, 3].map((d) => model(d * d, 5 + d * (1 + Math.log(d))))
    assert.match(frontier(report([model(0, 5), ...rising])), /no peak: the fitted gold never falls/u)
  })

  it("says why it cannot", () => {
    assert.match(frontier(report([model(null, 1)])), /^No over-optimisation frontier: no model has/u)
    assert.match(frontier(report([law(1), law(2), law(3)])), /the initial model is not among/u)
    assert.match(frontier(report([model(0, 5), law(1), law(2)])), /needs 3 models .* and 2 moved/u)
  })
})
