/** Caps on KL hold on whatever they are wrapped around; `npm run test:caps -- 2000` runs the trials by the thousand. */
import { Effect, Exit } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Gate,
  Gold,
  Kl,
  Merge,
  MergeMethod,
  Pipeline,
  PreferenceLoss,
  Sft,
  Source
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { problems } from "../../src/interpreters/check.ts"
import { capsIn } from "../../src/interpreters/capsOf.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import type { Event } from "../../src/store/runLog.ts"
import { laws } from "../../src/testing/index.ts"
import { trial } from "./trial.ts"

const base = Checkpoint.huggingFace("f", "anywhere")
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const prompts = Source.prompts(Source.tales({ split: "train", count: 4 }))
const text = (count: number) => Source.demonstrations(Source.tales({ count }))
const learningRate = 0.01
const first = Sft.make({ base, demonstrations: text(8) }, { batchSize: 4, learningRate: 1e-3 })
const again = { batchSize: 4, learningRate, epochs: 2, checkpointEvery: 2 }
const sft = Sft.make({ base: first, demonstrations: text(33) }, again)
const distilled = Distill.make({ student: first, teacher: base, prompts }, {
  ...again,
  objective: Distillation.sequenceLevel,
  completionsPerPrompt: 8,
  maxNewTokens: 3
})
const measured = { maxNewTokens: 3, measureEvery: 2, measureSamples: 2, measureMost: 512 }
const kl = (mnats: number, options = {}) => ({ kl: Kl.mnatsPerSequence<number>(mnats, options), from: first })
const dpo = (init: typeof first, mnats = 5) =>
  Dpo.make({ init, reference: first, preferences: Source.preferences(Source.tales({ count: 16 })), held }, {
    ...measured,
    allowance: Kl.mnatsPerSequence<number>(mnats),
    loss: PreferenceLoss.dpo(),
    batchSize: 4,
    learningRate: 1e-5
  })

const run = async (root: Artifact.Any) => {
  const events: Array<Event> = []
  const exit = await Effect.runPromiseExit(simulate(root, { onEvent: (event) => events.push(event) }))
  const error = Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : null
  const of = (stage: Artifact.Any) =>
    events.flatMap((event) =>
      event._tag === "Measured" && event.measurement.stage === label(stage) ? [event.measurement] : []
    )
  const exact = (stage: Artifact.Any) =>
    Exit.isSuccess(exit) ? exit.value.policies.find((one) => one.stage === label(stage))!.kl : []
  return { events, error, of, exact }
}

const said = (root: Artifact.Any): ReadonlyArray<string> => problems(root).map(({ problem }) => problem)

describe("a KL cap", () => {
  it(
    "holds in 40 simulations of stages after stages, by enumeration of every policy that was called within it",
    async () => {
      const all = []
      for (let i = 0; i < 40; i++) all.push(await trial(`suite/${i}`))
      const held = all.flatMap((one) => one.held)
      assert.isAbove(held.length, 300)
      for (const { share, stage } of held) assert.isAtMost(share, 1, stage)
      // The trials are worth something: policies come close, caps are passed, and most runs end.
      assert.isAbove(held.filter(({ share }) => share > 0.6).length, 4)
      assert.isAbove(all.reduce((sum, { rolledBack }) => sum + rolledBack, 0), 8)
      assert.isAbove(all.filter(({ error }) => error === null).length, 15)
      for (const { error } of all) assert.include([null, "KlBudgetExceeded"], error)
    },
    120_000
  )

  for (const [name, stage] of [["Sft", sft], ["Distill", distilled]] as const) {
    it(`is measured on ${name} while it trains and at the end, on the prompts of the cap`, async () => {
      const { error, of } = await run(Pipeline.cap(stage, { ...kl(50_000), held, ...measured }))
      assert.isNull(error)
      const steps = of(stage).map(({ step }) => step)
      assert.isAbove(steps.length, 3)
      assert.deepStrictEqual(steps.slice(0, 3), [2, 4, 6])
      assert.isTrue(of(stage).every(({ cap, verdict }) => cap === 50 && verdict === "within"))
    })

    it(`ends ${name} with an error, or with the last policy within it`, async () => {
      const low = { ...kl(60), held, ...measured, measureEvery: 1 }
      const stopped = await run(Pipeline.cap(stage, low))
      assert.strictEqual(stopped.error?._tag, "KlBudgetExceeded")
      const back = await run(Pipeline.cap(stage, { ...low, whenSpent: "rollback" }))
      assert.isNull(back.error)
      assert.isTrue(back.events.some((event) => event._tag === "OverBudget" && event.kept !== null))
      assert.isTrue(back.exact(stage).length === 1 && back.exact(stage).every(({ cap, nats }) => nats <= cap!))
      const warned = await run(Pipeline.cap(stage, { ...low, whenSpent: "warn" }))
      assert.isNull(warned.error)
      assert.isTrue(warned.exact(stage).some(({ cap, nats }) => nats > cap!))
    })

    it(`reaches the same bits when ${name} is stopped and resumed under it`, () =>
      laws.resumes(Pipeline.cap(stage, { ...kl(50_000), held, ...measured }), stage, { stops: [1, 3, 5] }))
  }

  it("takes the prompts of the last stage under it that has some, for a stage that has none", async () => {
    const moved = dpo(sft as never)
    const { error, of } = await run(Pipeline.cap(moved, kl(50_000)))
    assert.isNull(error)
    assert.isAbove(of(sft).length, 3)
    assert.isAbove(of(moved).length, 0)
    const limits = capsIn(Pipeline.cap(moved, kl(50_000)))
    assert.strictEqual(limits(sft).measured?.held.id, held.id)
    assert.isUndefined(limits(moved).measured)
    // After it, too.
    const capped = Pipeline.cap(dpo(first), kl(5000))
    const after = Sft.make({ base: capped, demonstrations: text(33) }, again)
    const passed = await run(Pipeline.cap(after, kl(60)))
    assert.strictEqual(passed.error?._tag, "KlBudgetExceeded")
    assert.include(passed.error?.message, label(after))
  })

  it("is held on gates and merges, by their own prompts", async () => {
    const moved = Pipeline.cap(sft, { ...kl(50_000), held, ...measured })
    const merged = Merge.make({ held }, { a: first, b: moved }, { method: MergeMethod.uniformSoup, maxNewTokens: 3 })
    const gated = Gate.make({ candidate: first, previous: moved, held }, {
      gold: Gold.tales,
      maxNewTokens: 3,
      tolerance: { gold: 0 },
      otherwise: "roll-back"
    })
    for (const stage of [merged, gated]) {
      const { error, of } = await run(Pipeline.cap(stage, kl(50_000)))
      assert.isNull(error)
      assert.isAbove(of(stage).length, 0, label(stage))
    }
  })

  it("is refused where it cannot be measured, with a remedy that works", () => {
    const [problem, ...others] = said(Pipeline.cap(sft, kl(500)))
    assert.lengthOf(others, 0)
    assert.match(problem!, /no held prompts to measure it on: give the cap some, .* held: prompts, maxNewTokens: …/)
    assert.deepStrictEqual(said(Pipeline.cap(sft, { ...kl(500), held, maxNewTokens: 3 })), [])
    // A model that only gave answers is no start.
    const other = Sft.make({ base, demonstrations: text(5) }, { batchSize: 4, learningRate })
    const taught = Distill.make({ student: other, teacher: first, prompts }, {
      ...again,
      objective: Distillation.sequenceLevel,
      maxNewTokens: 3
    })
    assert.match(
      said(Pipeline.cap(taught, { ...kl(500), held, maxNewTokens: 3 })).join(),
      /it measures nothing: the weights of/
    )
    assert.deepStrictEqual(said(Pipeline.cap(taught, { ...kl(500), from: other, held, maxNewTokens: 3 })), [])
  })

  it("of another quantity than is measured is refused", () => {
    const of = (options: object) => said(Pipeline.cap(dpo(first), kl(500, options)))
    assert.deepStrictEqual(of({}), [])
    assert.match(
      of({ direction: "forward" }).join(),
      /kl is of the forward KL, and the reverse KL is measured: cap that/
    )
    for (const estimator of ["k2", "k3", "exact"]) assert.match(of({ estimator }).join(), /leave estimator out/)
    for (const against of ["start", "reference"]) {
      assert.match(of({ against }).join(), /leave against out, and connect from/)
    }
  })

  it("with prompts of no use, or half described, is refused", () => {
    const cap = Pipeline.cap as (of: Artifact.Any, limits: object) => Artifact.Any
    assert.match(said(cap(dpo(first), { ...kl(500), held, maxNewTokens: 3 })).join(), /held is of no use/)
    assert.match(said(cap(sft, { ...kl(500), held })).join(), /maxNewTokens is missing/)
    assert.match(said(cap(dpo(first), { ...kl(500), maxNewTokens: 3 })).join(), /connect held, or leave it out/)
    assert.match(
      said(cap(first, { seconds: 5, held, maxNewTokens: 3 })).join(),
      /KL is not capped: write kl, or leave held out/
    )
  })

  it("that no number of samples tells counts as passed, and the message says so", async () => {
    const { error, of } = await run(
      Pipeline.cap(sft, { ...kl(60), held, ...measured, measureEvery: 1, measureMost: 2 })
    )
    if (error?._tag !== "KlBudgetExceeded") throw new Error(String(error))
    const last = of(sft).at(-1)!
    assert.strictEqual(last.samples, 64)
    if (error.undecided) {
      assert.match(error.message, /64 completions do not tell it from the cap of 60, which counts as passed/)
    }
    assert.deepStrictEqual(error.undecided, last.verdict === "undecided" ? true : undefined)
  })
})
