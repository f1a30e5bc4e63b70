import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { alarms } from "../../src/report/alarms.ts"
import { stream } from "../../src/sampling/random.ts"
import type { Event, Metrics } from "../../src/store/runLog.ts"

const fine = { proxy: 0.2, proxy_se: 0.1, distinct_1: 0.3, distinct_2: 0.6, entropy: 1.2, length: 20, finished: 0.9 }
const look = (step: number, of: Metrics, stage = "ppo-1"): Event => ({
  _tag: "Observed",
  stage,
  step,
  samples: 64,
  observed: { ...fine, ...of }
})

describe("signs of reward hacking without a gold reward", () => {
  it("are a reward that rises while completions become strange, in a line for each stage", () => {
    assert.deepStrictEqual(
      alarms([
        look(10, {}),
        look(10, {}, "grpo-2"),
        look(20, { proxy: 0.9, distinct_2: 0.5 }),
        look(30, { proxy: 1.9, distinct_2: 0.25, length: 45 }),
        look(30, { proxy: 1.9 }, "grpo-2")
      ]),
      [
        "ppo-1 shows signs of reward hacking: from step 10 to 30 its reward rose from 0.20 to 1.90 on held prompts, and its completions "
        + "repeat themselves (distinct-2 0.600 → 0.250), its completions grew (tokens: 20.0 → 45.0). Read its samples; a gold reward "
        + "(observe: { gold }) would tell."
      ]
    )
  })

  it.each([
    ["distinct_2", 0.3],
    ["entropy", 0.6],
    ["length", 40],
    ["length", 10],
    ["finished", 0.45]
  ])("by a factor of 2: %s %f, and not less", (name, to) => {
    const at = (value: number) => alarms([look(1, {}), look(2, { proxy: 1, [name]: value })])
    assert.lengthOf(at(to), 1)
    const from = fine[name as keyof typeof fine]
    assert.deepStrictEqual(at(to + 0.05 * (from - to)), [])
  })

  it("are nothing where the reward rose by chance, a gold reward can tell, or there is no reward; nor of one look", () => {
    const strange = { distinct_2: 0.1, entropy: 0.1 }
    fc.assert(
      fc.property(fc.double({ min: -2, max: 0.28, noNaN: true }), (by) => {
        assert.deepStrictEqual(alarms([look(1, {}), look(2, { ...strange, proxy: 0.2 + by })]), [])
      })
    )
    assert.lengthOf(alarms([look(1, {}), look(2, { ...strange, proxy: 0.2 + 0.29 })]), 1)
    assert.deepStrictEqual(alarms([look(1, { gold: 1 }), look(2, { ...strange, gold: 0, proxy: 2 })]), [])
    const { proxy: _, proxy_se: __, ...unjudged } = fine
    const none = (step: number, of: Metrics): Event => ({
      _tag: "Observed",
      stage: "ppo-1",
      step,
      samples: 64,
      observed: { ...unjudged, ...of }
    })
    assert.deepStrictEqual(alarms([none(1, {}), none(2, strange)]), [])
    assert.deepStrictEqual(alarms([look(1, strange)]), [])
    assert.deepStrictEqual(alarms([]), [])
  })
})

describe("a KL of the samples that is negative", () => {
  const step = (step: number, kl: number, stage = "ppo-1"): Event => ({
    _tag: "Step",
    stage,
    step,
    steps: 100,
    tokens: 1,
    metrics: { "objective/kl": kl }
  })
  const steps = (of: (i: number) => number, count = 40) => Array.from({ length: count }, (_, i) => step(i + 1, of(i)))

  it("is said with its mean over the second half", () => {
    assert.deepStrictEqual(alarms([...steps((i) => i < 20 ? 3 : -0.5 - (i % 2) / 10), step(1, 1, "grpo-2")]), [
      "ppo-1: the KL of its samples was negative, -0.55 nats per sequence over its last 20 steps. They are not the policy's own then: go by "
      + "the KL that the ledger measured."
    ])
  })

  it("is nothing by chance, by rounding, or in a few steps", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1000 }), (seed) => {
      const random = stream(`alarms/${seed}`)
      // Of a policy that has hardly moved: an estimate around 0, as far below as above.
      const noise = Array.from({ length: 20 }, () => random.normal())
      assert.deepStrictEqual(alarms(noise.flatMap((x, i) => [step(2 * i, x), step(2 * i + 1, -x)])), [])
    }))
    assert.deepStrictEqual(alarms(steps(() => -0.005)), [])
    assert.deepStrictEqual(alarms(steps(() => -1, 6)), [])
    assert.lengthOf(alarms(steps(() => -1, 7)), 1)
  })
})
