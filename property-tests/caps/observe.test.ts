/** The method apart from the instruments: how KL is measured is said once, and changes no weights. */
import { Effect, Exit } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Dpo,
  Gold,
  Grpo,
  Kl,
  Kto,
  Merge,
  MergeMethod,
  Pipeline,
  PolicyGradient,
  PreferenceLoss,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import type { Event } from "../../src/store/runLog.ts"

const base = Checkpoint.huggingFace("f", "anywhere")
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const prompts = Source.prompts(Source.tales({ split: "train", count: 4 }))
const learningRate = 0.01
const batchSize = 4
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
  batchSize,
  learningRate: 1e-3
})
const preferences = Source.preferences(Source.tales({ count: 16 }))
const how = { loss: PreferenceLoss.dpo(), batchSize, learningRate, epochs: 2 }
const bare = Dpo.make({ init: sft, reference: sft, preferences }, how)
const measure = { every: 2, samples: 64, most: 128 }
const observed = { kl: Kl.measured, from: sft, held, maxNewTokens: 3, measure } as const
const amount = <const N extends number>(n: N) => ({ ...observed, kl: Kl.mnatsPerSequence(n) })

const run = async (root: Artifact.Any) => {
  const events: Array<Event> = []
  const exit = await Effect.runPromiseExit(simulate(root, { onEvent: (event) => events.push(event) }))
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  const error = reason === undefined ? null : reason._tag === "Fail" ? reason.error : assert.fail(String(reason))
  const of = (stage: Artifact.Any) =>
    events.flatMap((event) =>
      event._tag === "Measured" && event.measurement.stage === label(stage) &&
        event.measurement.against === "initial"
        ? [event.measurement]
        : []
    )
  // The exact gold reward and the loss of each step: of other weights they are other numbers.
  const gold = Exit.isSuccess(exit) ? exit.value.policies.map(({ gold }) => gold) : []
  const losses = events.flatMap((event) => event._tag === "Step" ? [event.metrics] : [])
  return { events, error, of, trained: { gold, losses } }
}

const said = (root: Artifact.Any): ReadonlyArray<string> => problems(root).map(({ problem }) => problem)

describe("observation", () => {
  it("of a pipeline changes no weights, however it measures, and neither does a cap", async () => {
    const own = Dpo.make({ init: sft, reference: sft, preferences, held }, { ...how, maxNewTokens: 3 })
    const { trained } = await run(Pipeline.observe(bare, observed))
    assert.isAbove(trained.losses.length, 8)
    for (
      const other of [
        Pipeline.observe(bare, { ...observed, measure: { every: 1, samples: 128 }, maxNewTokens: 2 }),
        Pipeline.observe(bare, { kl: Kl.measured, from: sft }),
        Pipeline.observe(own, { kl: Kl.measured, from: sft }),
        Pipeline.observe(bare, amount(50_000)),
        Pipeline.cap(own, { kl: Kl.mnatsPerSequence(50_000), from: sft })
      ]
    ) {
      const { error, trained: also } = await run(other)
      assert.isNull(error)
      assert.deepStrictEqual(also, trained)
    }
    // Another method is seen.
    const faster = Dpo.make({ init: sft, reference: sft, preferences }, { ...how, learningRate: 0.02 })
    assert.notDeepEqual((await run(Pipeline.observe(faster, observed))).trained, trained)
  })

  it("with an amount is the cap", async () => {
    const { measure: { every, most, samples }, ...limits } = amount(50)
    const cap = Pipeline.cap(bare, { ...limits, measureEvery: every, measureMost: most, measureSamples: samples })
    assert.strictEqual(Pipeline.observe(bare, amount(50)).id, cap.id)
    assert.strictEqual(bare.pipe(Pipeline.observe(amount(50))).id, cap.id)
    const { error } = await run(Pipeline.observe(bare, amount(50)))
    assert.strictEqual(error?._tag, "KlBudgetExceeded")
    const back = await run(Pipeline.observe(bare, { ...amount(50), whenSpent: "rollback" }))
    assert.isNull(back.error)
    assert.isTrue(back.events.some((event) => event._tag === "OverBudget" && event.kept !== null))
  })

  it("reaches every round, and each stage that moves a policy, without a cap", async () => {
    const kto = (init: Artifact.Of<"Policy" | "BaseModel", "f">) =>
      Kto.make({ init, reference: sft, preferences }, { batchSize, learningRate })
    const rounds = Pipeline.rounds(sft, 2, (previous) => kto(previous))
    const rl = Grpo.make({ init: rounds[1]!, prompts }, {
      ...PolicyGradient.grpo,
      beta: 0,
      verifiers: [Verifier.lastNumber()],
      steps: 2,
      groupSize: 2,
      batchSize,
      learningRate,
      maxNewTokens: 3
    })
    const merged = Merge.make({}, { rl, sft }, { method: MergeMethod.uniformSoup })
    const root = Pipeline.observe(merged, observed)
    assert.deepStrictEqual(said(root), [])
    const { error, of } = await run(root)
    assert.isNull(error)
    for (const stage of [...rounds, rl, merged]) {
      assert.isAbove(of(stage).length, 0, label(stage))
      assert.isTrue(
        of(stage).every(({ cap, from, mean, verdict }) =>
          cap === null && verdict === undefined && from === label(sft) && mean > 0
        )
      )
    }
  })

  it("is by the nearest of them, where a stage has no prompts of its own", async () => {
    const others = Source.prompts(Source.tales({ split: "held", count: 3 }))
    const inner = Pipeline.observe(bare, { ...observed, held: others })
    const after = Kto.make({ init: inner, reference: sft, preferences }, { batchSize, learningRate })
    const { of } = await run(Pipeline.observe(after, { ...observed, measure: { every: 1, samples: 80 } }))
    assert.isTrue(of(bare).every(({ asked }) => asked === 64))
    assert.isTrue(of(after).length > 0 && of(after).every(({ asked }) => asked === 80))
  })

  it("without held prompts is none, and that is said", async () => {
    const root = Pipeline.observe(bare, { kl: Kl.measured, from: sft })
    assert.deepStrictEqual(said(root), [])
    const { error, events, of } = await run(root)
    assert.isNull(error)
    assert.lengthOf(of(bare), 0)
    assert.deepInclude(events, { _tag: "Unmeasured", stage: label(bare) })
    // A cap that cannot be held is a mistake.
    assert.match(said(Pipeline.observe(bare, { kl: Kl.mnatsPerSequence(5), from: sft })).join(), /no held prompts/)
  })

  it("is asked for where KL is open, and checked", () => {
    assert.match(said(bare).join(), /nobody capped it: .*or measure it with Pipeline.observe\(policy/)
    const gold = { observe: { gold: Gold.tales, stopAtPeak: {} } }
    const peak = Dpo.make({ init: sft, reference: sft, preferences }, { ...how, ...gold })
    assert.match(said(Pipeline.observe(peak, observed)).join(), /stopAtPeak .*connect held/)
    const often = Dpo.make({ init: sft, reference: sft, preferences }, { ...how, measureEvery: 9 })
    assert.match(said(Pipeline.observe(often, observed)).join(), /measureEvery is of the measurement on held prompts/)
    const apart = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 5 })) }, {
      batchSize,
      learningRate
    })
    const other = Dpo.make({ init: apart, reference: sft, preferences }, how)
    assert.match(
      said(Pipeline.observe(other, observed)).join(),
      new RegExp(`\`from\` of cap-\\w+, ${label(sft)}, is no ancestor of its weights, which come from checkpoint-`, "u")
    )
  })

  it("sets the precision of all stages below that do not write it, and of nothing else", () => {
    const written = Dpo.make({ init: bare, reference: sft, preferences }, { ...how, precision: "f32" })
    const root = Pipeline.observe(written, { ...observed, precision: "bf16", recompute: true })
    const of = (op: string) => Artifact.lineage(root).filter(({ node }) => node.op === op).map(fieldsOf)
    assert.deepStrictEqual(of("Dpo").map(({ precision }) => precision), ["bf16", "f32"])
    assert.deepStrictEqual([...of("Sft"), ...of("Dpo")].map(({ recompute }) => recompute), [true, true, true])
    // An outer one sets only what is left.
    const again = Pipeline.observe(root, { ...observed, precision: "f32", recompute: false })
    assert.deepStrictEqual(again.node.wires["of"]?.id, root.id)
    assert.strictEqual(root.node.wires["from"]?.id, Artifact.lineage(root).find(({ node }) => node.op === "Sft")?.id)
  })
})
