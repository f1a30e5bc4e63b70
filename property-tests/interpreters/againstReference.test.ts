/** KL from the reference of a stage's penalty: an entry of its own in the ledger, with no cap, against what enumeration says. */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Grpo, Kl, Pipeline, PolicyGradient, Reference, Sft, Source, Verifier } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { keysIn } from "../../src/interpreters/storeKeys.ts"
import { Store } from "../../src/store/store.ts"
import type { Event, Measurement } from "../../src/store/runLog.ts"
import { making, store as newStore } from "./worldly.ts"

const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "klControl" })
const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const base = Checkpoint.huggingFace("tales", "base")
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 16 })) }, {
  batchSize: 4,
  epochs: 10,
  learningRate: 0.3
})

const stage = (more: Partial<Parameters<typeof Grpo.make>[1]> = {}) =>
  Grpo.make({ init: sft, reference: sft, prompts, held }, {
    ...PolicyGradient.rloo,
    allowance: Kl.mnatsPerSequence(1),
    beta: 0.01,
    steps: 12,
    batchSize: 2,
    groupSize: 8,
    verifiers: [Verifier.format(["a"])],
    learningRate: 0.1,
    maxNewTokens: 2,
    measureEvery: 6,
    measureSamples: 2048,
    ...more
  })

/** Runs `rl` under a cap on its KL from `from`, too wide to be passed. */
const ran = async (rl: ReturnType<typeof stage>, from: Artifact.Any) => {
  const [events, store]: [Array<Event>, Awaited<ReturnType<typeof newStore>>] = [[], await newStore()]
  const root = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence<number>(100_000), from })
  const made = await Effect.runPromise(making(root, { world, store, onEvent: (event) => events.push(event) }))
  if (made._tag !== "Model") throw new Error("no model")
  const keys = await Effect.runPromise(Effect.provideService(keysIn(root), Store, store))
  const found = await Effect.runPromise(store.find(keys.result(sft)!, label(sft)))
  if (found._tag === "None" || found.value._tag !== "Model") throw new Error("no reference")
  const all: ReadonlyArray<Measurement> = events.flatMap((event) =>
    event._tag === "Measured" && event.measurement.stage === label(rl) ? [event.measurement] : []
  )
  const of = (against: Measurement["against"]) => all.filter((one) => one.against === against)
  return { policy: made.weights, reference: found.value.weights, initial: of("initial"), toReference: of("reference") }
}

const exact = (policy: Weights, other: Weights): number =>
  kl(logDistribution(world, policy), logDistribution(world, other)).mean

describe("KL from the reference", () => {
  it("stands beside that from the initial model of a cap, is held against none, and is what enumeration says", async () => {
    const { initial, policy, reference, toReference } = await ran(stage(), base)
    assert.deepStrictEqual(toReference.map(({ cap, from, step }) => [step, from, cap]), [
      [6, "its reference", null],
      [12, "its reference", null]
    ])
    assert.deepStrictEqual(initial.map(({ cap, from, step }) => [step, from, cap]), [[6, label(base), 100], [
      12,
      label(base),
      100
    ]])
    const [last, other] = [toReference.at(-1)!, initial.at(-1)!]
    const [near, far] = [exact(policy, reference), exact(policy, language(world))]
    assert.approximately(last.mean, near, 4 * last.standardError)
    assert.approximately(other.mean, far, 4 * other.standardError)
    // Far enough apart that one could not stand for the other.
    assert.isAbove(Math.abs(far - near), 8 * Math.max(last.standardError, other.standardError))
    // The same completions: as many tokens in both, so both are the mean over so many tokens.
    assert.approximately(last.mean / last.perToken, other.mean / other.perToken, 1e-9)
    assert.isTrue(last.perToken > 0 && last.perToken <= last.mean)
  })

  it("is told once where the reference is the initial model of a cap", async () => {
    const { initial, toReference } = await ran(stage(), sft)
    assert.deepStrictEqual([initial.length, toReference.length], [2, 0])
  })

  it("that moves is named so, and bounds nothing about the distance from where the policy started", async () => {
    // Reset after each step, it is one step behind however far the policy has gone; averaged, some steps.
    for (
      const referencePolicy of [
        new Reference.ResetEvery({ steps: 1 }),
        new Reference.MovingAverage({ rate: 0.3, every: 1 })
      ]
    ) {
      const { initial, toReference } = await ran(stage({ referencePolicy }), sft)
      assert.deepStrictEqual(toReference.map(({ cap, from }) => [from, cap]), [
        ["its reference, where it was then", null],
        ["its reference, where it was then", null]
      ])
      const [near, far] = [toReference.at(-1)!, initial.at(-1)!]
      assert.isAbove(far.mean - near.mean, 4 * far.standardError)
    }
  })

  it("of a stage without a penalty is not there", async () => {
    const rl = Grpo.make({ init: sft, prompts, held }, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 0,
      steps: 2,
      batchSize: 2,
      groupSize: 4,
      verifiers: [Verifier.format(["a"])],
      learningRate: 0.1,
      maxNewTokens: 2,
      measureEvery: 1,
      measureSamples: 8
    })
    const { initial, toReference } = await ran(rl as never, sft)
    assert.deepStrictEqual([initial.length, toReference.length], [2, 0])
  })
})
