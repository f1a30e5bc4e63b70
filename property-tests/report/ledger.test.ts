/** The ledger of a description and the events of a run: what stands beside what, and what is added up, which is little. */
import { assert, describe, it } from "vitest"
import { Kl, Ppo } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { ofMean } from "../../src/ledger/interval.ts"
import { ledgerOf } from "../../src/report/ledger.ts"
import { text } from "../../src/report/ledgerText.ts"
import type { Event, Measurement } from "../../src/store/runLog.ts"
import { tiny } from "../interpreters/tiny.ts"

const { held, policy, prompts, reward, rl, sft } = tiny()
const next = Ppo.make({ init: policy, reference: policy, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(1),
  beta: 0.1,
  steps: 4,
  batchSize: 4,
  learningRate: 1e-3,
  maxNewTokens: 6
})

const measured = (stage: string, from: string, mean: number, more: Partial<Measurement> = {}): Event => ({
  _tag: "Measured",
  measurement: {
    stage,
    from,
    step: 4,
    estimator: "k1",
    direction: "reverse",
    temperature: 1,
    mean,
    standardError: 0,
    perToken: mean / 5,
    samples: 64,
    cap: null,
    ...more
  }
})
const ledger = (...events: ReadonlyArray<Event>) => ledgerOf(next, events, () => [])
const of = (entries: ReturnType<typeof ledger>, stage: string) => entries.find((entry) => entry.stage === stage)!

describe("the ledger", () => {
  it("adds total variation over stages that were each measured from their start, and no KL: Bernoulli .5 → .1 → .01", () => {
    const entries = ledger(
      measured(label(rl), label(sft), 0.5108, { cap: 1, against: "initial" }),
      measured(label(next), label(sft), 1.6145, { cap: 2, against: "initial" }),
      measured(label(next), "its reference", 0.1445, { against: "reference" })
    )
    const along = of(entries, label(next)).along!
    assert.deepStrictEqual([along.from, along.stages], [label(sft), [label(rl), label(next)]])
    // √(.5108 / 2) + √(.1445 / 2) = .5054 + .2688, and the truth is .49.
    assert.closeTo(along.variation.millionths, 774_200, 100)
    assert.isNull(of(entries, label(rl)).along)
    const said = text(entries)
    assert.include(said, `From ${label(sft)} through ${label(rl)}, ${label(next)}: TV ≤ 0.774`)
    assert.include(said, "Their KLs do not add up to a bound.")
    // .5108 + .1445, which is below the truth, is nowhere.
    assert.notInclude(said, "0.655")
  })

  it("names the reference, and says where the initial model is the reference too", () => {
    const entries = ledger(
      measured(label(rl), label(sft), 0.5, { cap: 1, against: "initial" }),
      measured(label(next), label(sft), 0.6, { cap: 2, against: "initial" }),
      measured(label(next), "its reference", 0.1, { against: "reference" })
    )
    assert.deepStrictEqual(
      entries.flatMap(({ measured }) => measured.map(({ against, from, isReference }) => [against, from, isReference])),
      [["initial", label(sft), true], ["initial", label(sft), false], ["reference", label(rl), true]]
    )
  })

  it("reads logs from before it was said against what: a cap is from an initial model, what has none is of a merge", () => {
    const [capped, parent] = of(
      ledger(measured(label(rl), label(sft), 0.5, { cap: 1 }), measured(label(rl), "other", 0.5)),
      label(rl)
    ).measured
    assert.deepStrictEqual([capped!.against, parent!.against], ["initial", "parent"])
    assert.isNull(capped!.perTokenInterval)
  })

  it("gives the intervals of mean and nats per token, and a measurement that was made again once", () => {
    const one = measured(label(rl), label(sft), 0.5, { cap: 1, standardError: 0.1, perTokenError: 0.02 })
    const { measured: [m, ...more] } = of(ledger(one, one), label(rl))
    assert.lengthOf(more, 0)
    assert.deepStrictEqual(m!.interval, ofMean(0.5, 0.1, 64))
    assert.deepStrictEqual(m!.perTokenInterval, ofMean(0.1, 0.02, 64))
    assert.closeTo(m!.variation.millionths / 1e6, Math.sqrt(m!.interval!.high / 2), 1e-6)
  })
})
