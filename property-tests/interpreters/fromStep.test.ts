/** Values that change within a stage, and stages that are so many steps long. */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Keep,
  Kl,
  KlControl,
  Kto,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  PreferenceLoss,
  RewardModeling,
  Sft,
  Shrink,
  Source,
  Verifier
} from "../../dsl/index.ts"
import * as Render from "../../dsl/Render.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import { plan } from "../../src/planning/plan.ts"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, runs, succeeded, tiny } from "./tiny.ts"
import { making } from "./worldly.ts"

const folder = folders("fromStep")
const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const base = Checkpoint.huggingFace("tales", "base")
const [low, high] = [0.05, 0.05]
const loss = new PolicyLoss.PolicyLoss({
  ...PolicyGradient.grpo.loss,
  objective: new PolicyLoss.Ratio({ level: "token", clip: PolicyLoss.symmetric(0.2) })
})
const clipped = new PolicyLoss.PolicyLoss({
  ...loss,
  objective: new PolicyLoss.Ratio({ level: "token", clip: new PolicyLoss.Clipped({ low, high }) })
})
type Params = Partial<Parameters<typeof Grpo.make>[1]>
const grpo = (more: Params): Artifact.Any =>
  Pipeline.cap(
    Grpo.make({ init: base, reference: base, prompts, held }, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 0.1,
      steps: 8,
      batchSize: 2,
      groupSize: 8,
      numIterations: 3,
      loss,
      verifiers: [Verifier.format(["a"])],
      learningRate: 0.3,
      maxNewTokens: 3,
      measureEvery: 1000,
      measureSamples: 8,
      ...more
    }),
    { kl: Kl.mnatsPerSequence(1_000_000), from: base }
  )
const world = makeWorld({ prompts: 2, vocab: 3, horizon: 3, seed: "fromStep" })
const steps = (events: ReadonlyArray<Event>) => events.flatMap((event) => event._tag === "Step" ? [event.metrics] : [])
const ran = async (root: Artifact.Any) => {
  const events: Array<Event> = []
  await Effect.runPromise(making(root, { world, onEvent: (event) => events.push(event), repeated: 4 }))
  return steps(events)
}
/** The metrics of training alone: those of the measurements, and of a coefficient that can change, are left out. */
const trained = (all: ReadonlyArray<Readonly<Record<string, number>>>) =>
  all.map((one) =>
    Object.fromEntries(Object.entries(one).filter(([name]) => name !== "objective/kl_coef" && !name.startsWith("kl/")))
  )

describe("fromStep", () => {
  const changes = {
    beta: [{ beta: 0.1 }, { beta: 2 }],
    temperature: [{ temperature: 1 }, { temperature: 0.5 }],
    clip: [{ loss }, { loss: clipped }],
    maxNewTokens: [{ maxNewTokens: 3 }, { maxNewTokens: 1 }]
  } as const
  it.each(Object.entries(changes))(
    "changes %s: the steps before are the old ones, and from step 0 all are the new",
    async (name, [before, after]) => {
      const change = "loss" in after ? { clip: new PolicyLoss.Clipped({ low, high }) } : after
      const [old, now, late, all] = await Promise.all([
        ran(grpo(before)),
        ran(grpo(after)),
        ran(grpo({ fromStep: { 4: change } })),
        ran(grpo({ fromStep: { 0: change } }))
      ])
      assert.deepStrictEqual(trained(all), trained(now))
      assert.deepStrictEqual(trained(late).slice(0, 4), trained(old).slice(0, 4))
      assert.notDeepEqual(trained(late)[4], trained(old)[4], name)
    }
  )

  it("keeps a change until the next, and says the β of each step", async () => {
    const all = await ran(grpo({ fromStep: { 2: { beta: 0.5 }, 5: { maxNewTokens: 1 }, 6: { beta: 0 } } }))
    assert.deepStrictEqual(all.map((one) => one["objective/kl_coef"]), [0.1, 0.1, 0.5, 0.5, 0.5, 0.5, 0, 0])
    assert.isTrue(all.slice(5).every((one) => one["completions/mean_length"] === 1))
    assert.isTrue(all.slice(0, 5).every((one) => one["completions/mean_length"]! > 1))
  })

  it("goes on to the same bytes after an interruption, in PPO as well", async () => {
    const { root } = tiny({
      ppo: { fromStep: { 0: { maxNewTokens: 3 }, 2: { maxNewTokens: 5, beta: 0.2, temperature: 0.8 } } }
    })
    const [whole, at] = [folder(), folder()]
    const lengths = steps(succeeded(await runs(root, whole)).events).flatMap((one) =>
      one["completions/mean_length"] ?? []
    )
    assert.isTrue(lengths.slice(0, 2).every((length) => length <= 3), String(lengths))
    assert.isAbove(Math.max(...lengths), 3)
    for (const n of [1, 3]) {
      await runs(root, at, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("ppo-") && event.step === n
      })
    }
    succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), contents(whole))
  })

  it("is planned: shorter completions in its first steps are fewer tokens", async () => {
    const tokens = async (fromStep: Params["fromStep"]) => {
      const { root } = tiny({ steps: 10, ppo: { maxNewTokens: 40, ...(fromStep === undefined ? {} : { fromStep }) } })
      const { stages } = await Effect.runPromise(plan(root).pipe(Effect.provide(NodeFileSystem.layer)))
      return stages.find(({ stage }) => stage.startsWith("ppo-"))!.trained
    }
    const [long, half] = [await tokens(undefined), await tokens({ 0: { maxNewTokens: 20 }, 5: { maxNewTokens: 40 } })]
    assert.closeTo(half / long, 0.75, 0.01)
  })

  it("is shown, and refuses changes that nothing reads", () => {
    assert.include(Render.text(grpo({ fromStep: { 4: { maxNewTokens: 1 } } })), "fromStep=(4 (maxNewTokens 1))")
    const said = (more: Params) => problems(grpo(more)).map(({ problem }) => problem).join("\n")
    assert.strictEqual(said({ fromStep: { 4: { maxNewTokens: 2 } } }), "")
    assert.include(said({ fromStep: { 8: { beta: 1 } } }), "fromStep 8 comes after the last of 8 steps")
    assert.include(said({ fromStep: { "2nd": { beta: 1 } } }), "fromStep 2nd is no number of steps")
    assert.include(said({ fromStep: { 4: {} } }), "fromStep 4 changes nothing")
    assert.include(said({ fromStep: { 4: { maxNewTokens: 5 } } }), "fromStep 4: maxNewTokens 5 is above maxNewTokens 3")
    assert.include(
      said({ fromStep: { 4: { beta: 1 } }, klControl: new KlControl.Ziegler({ target: Kl.mnatsPerSequence(5) }) }),
      "klControl Ziegler changes beta by itself"
    )
    assert.include(
      said({ fromStep: { 4: { clip: PolicyLoss.symmetric(0.1) } }, ...PolicyGradient.reinforce }),
      "fromStep changes clip, and its loss has no ratio to clip"
    )
  })
})

describe("so many steps in place of epochs", () => {
  const demonstrations = Source.demonstrations(Source.tales({ count: 10 }))
  const preferences = Source.preferences(Source.file("pairs.jsonl"))
  const moved = { allowance: Kl.mnatsPerSequence(1), maxNewTokens: 2, measureEvery: 1000, measureSamples: 8 }
  const how = { batchSize: 4, learningRate: 1e-3, steps: 7 }
  const cap = { kl: Kl.mnatsPerSequence(1_000_000), from: base }
  const stages: Readonly<Record<string, Artifact.Any>> = {
    sft: Sft.make({ base, demonstrations }, how),
    "sft, packed": Sft.make({ base, demonstrations }, { ...how, batchTokens: 12 }),
    distill: Distill.make({ student: base, teacher: base, demonstrations }, {
      ...how,
      objective: new Distillation.SequenceLevel()
    }),
    dpo: Pipeline.cap(
      Dpo.make({ init: base, reference: base, preferences, held }, { ...how, ...moved, loss: PreferenceLoss.dpo() }),
      cap
    ),
    kto: Pipeline.cap(Kto.make({ init: base, reference: base, preferences, held }, { ...how, ...moved }), cap),
    reward: RewardModeling.make({ init: base, preferences }, how)
  }
  it.each(Object.entries(stages))("trains %s for as many", async (_, root) => {
    assert.lengthOf(await ran(root), 7)
  })

  it("is one of the two", () => {
    const root = Sft.make({ base, demonstrations }, { ...how, epochs: 2 })
    assert.include(
      problems(root).map(({ problem }) => problem).join("\n"),
      "epochs 2 and steps 7 both say how long it trains: leave one of them out"
    )
  })
})

describe("a small copy", () => {
  it("has the changes at the same shares of its steps, and lengths in the same ratio", () => {
    const root = grpo({
      steps: 10_400,
      maxNewTokens: 65_536,
      schedule: "linear",
      minLearningRate: 0.03,
      fromStep: { 0: { maxNewTokens: 32_768 }, 8_200: { maxNewTokens: 65_536, beta: 0.05 } },
      keep: Keep.soup({ every: 2_600 })
    })
    const small = Shrink.shrink(root, { tokens: 8 }).root
    assert.deepStrictEqual(problems(small), [])
    const of = Artifact.lineage(small).find(({ node }) => node.op === "Grpo")!.node.params as unknown as Grpo.Grpo
    const last = Math.round(8_200 / 10_400 * of.steps)
    assert.deepStrictEqual(of.fromStep, { 0: { maxNewTokens: 4 }, [last]: { beta: 0.05, maxNewTokens: 8 } })
    assert.strictEqual(of.keep?._tag === "Soup" && of.keep.every, Math.round(of.steps / 4))
    assert.closeTo(of.minLearningRate! / of.learningRate, 0.1, 1e-12)
  })
})
