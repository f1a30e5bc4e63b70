/** β that follows the KL seen, and passes that end when the policy has moved too far from its sampler. */
import { Effect, Result, type Schema } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Grpo,
  Kl,
  KlControl,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, runs, succeeded, tiny } from "./tiny.ts"
import { making } from "./worldly.ts"

const folder = folders("klControl")
const metrics = (events: ReadonlyArray<Event>, op: string) =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith(op) ? [event.metrics] : [])

const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const base = Checkpoint.huggingFace("tales", "base")
type Params = Partial<Parameters<typeof Grpo.make>[1]>
const grpo = (more: Params): Artifact.Any =>
  Pipeline.cap(
    Grpo.make({ init: base, reference: base, prompts, held }, {
      ...PolicyGradient.rloo,
      allowance: Kl.mnatsPerSequence(1),
      beta: 0.02,
      steps: 400,
      batchSize: 2,
      groupSize: 16,
      verifiers: [Verifier.format(["a"])],
      learningRate: 0.05,
      maxNewTokens: 2,
      measureEvery: 1000,
      measureSamples: 8,
      ...more
    }),
    { kl: Kl.mnatsPerSequence(100_000), from: base }
  )
const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "klControl" })
const ran = async (more: Params) => {
  const events: Array<Event> = []
  await Effect.runPromise(making(grpo(more), { world, onEvent: (event) => events.push(event), repeated: 4 }))
  return metrics(events, "grpo")
}
const late = (all: ReadonlyArray<Readonly<Record<string, number>>>, name: string): number => {
  const some = all.slice(-100)
  return some.reduce((sum, one) => sum + one[name]!, 0) / some.length
}

const inLoss = {
  ...PolicyGradient.rloo,
  loss: new PolicyLoss.PolicyLoss({
    ...PolicyGradient.rloo.loss,
    kl: new PolicyLoss.KlInLoss({ estimator: "k2" })
  })
}

describe("klControl", () => {
  const target = Kl.mnatsPerSequence(250)

  it("of Ziegler brings the KL of the samples to its target, from above and from below, in reward and in loss", async () => {
    assert.isAbove(late(await ran({}), "objective/kl"), 0.5)
    for (const beta of [0.1, 2]) {
      for (const values of [PolicyGradient.rloo, inLoss]) {
        // One seed alone is off by as much as 0.08.
        const seeds = await Promise.all(
          [0, 1, 2, 3].map((seed) =>
            ran({ ...values, klControl: new KlControl.Ziegler({ target, horizon: 300 }), beta, seed })
          )
        )
        assert.approximately(seeds.reduce((sum, all) => sum + late(all, "objective/kl") / seeds.length, 0), 0.25, 0.06)
        for (const all of seeds) {
          assert.strictEqual(all[0]!["objective/kl_coef"], beta)
          assert.notStrictEqual(late(all, "objective/kl_coef"), beta)
        }
      }
    }
  })

  it("of PPO's penalty keeps it around its target, within the factor of 1.5 that it does not react to and as much again", async () => {
    for (const beta of [0.1, 2]) {
      const all = await ran({ klControl: new KlControl.PpoPenalty({ target }), beta })
      const kl = late(all, "objective/kl")
      assert.isTrue(kl > 0.25 / 2.25 && kl < 0.25 * 2.25, `from ${beta}: ${kl}`)
      const betas = new Set(all.map((one) => Math.log2(one["objective/kl_coef"]! / beta)))
      assert.isTrue([...betas].every(Number.isInteger) && betas.size > 1)
    }
  })

  it("is in the checkpoints: a run that was interrupted goes on with the same beta, to the same bytes", async () => {
    const ppo = {
      beta: 0.05,
      klControl: new KlControl.PpoPenalty({ target: Kl.mnatsPerSequence(5), every: 2 }),
      targetKl: Kl.mnatsPerToken(5)
    }
    const { root } = tiny({ steps: 6, learningRate: 0.01, ppo })
    const [whole, at] = [folder(), folder()]
    const first = metrics(succeeded(await runs(root, whole)).events, "ppo")
    assert.isAbove(new Set(first.map((one) => one["objective/kl_coef"])).size, 1)
    for (const n of [1, 4]) {
      await runs(root, at, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("ppo-") && event.step === n
      })
    }
    succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), contents(whole))
  })

  it("without a beta, at another temperature, or with a target per token, is refused", () => {
    const said = (more: Params) => problems(grpo(more)).map(({ problem }) => problem)
    assert.include(
      said({ beta: 0, klControl: new KlControl.PpoPenalty({ target }) }).join("\n"),
      "klControl PpoPenalty multiplies beta, which is 0: start from a beta above 0"
    )
    assert.include(
      said({ beta: 0.1, temperature: 0.7, klControl: new KlControl.Ziegler({ target }) }).join("\n"),
      "klControl Ziegler follows the KL of the samples, and samples at temperature 0.7 are not the policy's: "
        + "take temperature 1, or leave klControl out"
    )
    assert.deepStrictEqual(said({ beta: 0.1, temperature: 0.7, klControl: new KlControl.FixedBeta() }), [])
    const set = (path: string, value: Schema.Json) =>
      problems(Result.getOrThrow(Pipeline.set(grpo({}), path, value))).map(({ problem }) => problem).join("\n")
    const perToken = JSON.parse(JSON.stringify(Kl.mnatsPerToken(20))) as Schema.Json
    assert.include(
      set("grpo.klControl", { _tag: "Ziegler", target: perToken, horizon: 100 }),
      "it is per sequence: convert it with Kl.overTokens(target, length)"
    )
    assert.include(
      set("grpo.targetKl", JSON.parse(JSON.stringify(target)) as Schema.Json),
      "it is per token, e.g. Kl.mnatsPerToken(15)"
    )
  })
})

describe("targetKl", () => {
  it("ends the passes of a step before the update that is too far from the sampler; the value model goes on", async () => {
    const of = (targetKl: number | null) =>
      tiny({
        learningRate: 0.02,
        steps: 3,
        cap: 1_000_000,
        ppo: { numPpoEpochs: 6, ...(targetKl === null ? {} : { targetKl: Kl.mnatsPerToken<number>(targetKl) }) }
      }).root
    const all = metrics(succeeded(await runs(of(20), folder())).events, "ppo")
    for (const one of all) {
      assert.isBelow(one["policy/updates"]!, 6)
      assert.isAtLeast(one["policy/updates"]!, 1)
      // The mean over the updates that were made: each of them was within 1.5 of the target.
      assert.isAtMost(one["policy/approxkl_avg"]!, 1.5 * 0.02)
    }
    // Where it is far away every update is made.
    const far = metrics(succeeded(await runs(of(1_000_000), folder())).events, "ppo")
    assert.deepStrictEqual(far.map((one) => one["policy/updates"]), [6, 6, 6])
    assert.isAbove(Math.max(...far.map((one) => one["policy/approxkl_avg"]!)), 1.5 * 0.02)
  })

  it("is per token whatever the aggregation: steps of equal size end their passes after as many updates", async () => {
    const objective = new PolicyLoss.Ratio({ level: "token", clip: new PolicyLoss.Unclipped() })
    const mean = async (aggregation: PolicyLoss.Aggregation) => {
      // Adam's steps do not depend on the scale of the loss.
      const all = await Promise.all(Array.from({ length: 64 }, (_, seed) =>
        ran({
          loss: new PolicyLoss.PolicyLoss({ objective, aggregation }),
          seed,
          steps: 1,
          learningRate: 0.1,
          maxGradNorm: 1e6,
          numIterations: 8,
          targetKl: Kl.mnatsPerToken(20)
        })))
      return all.flat().reduce((sum, one) => sum + one["policy/updates"]! / all.flat().length, 0)
    }
    const { FixedLength, SequenceMean, SequenceSum, TokenMean } = PolicyLoss
    const expected = await mean(new TokenMean())
    assert.isTrue(expected > 2 && expected < 6, String(expected))
    for (const one of [new SequenceMean(), new SequenceSum(), new FixedLength({ length: 128 })]) {
      assert.approximately(await mean(one), expected, 0.6, one._tag)
    }
  })

  it("of GRPO too", async () => {
    const all = await ran({ steps: 10, learningRate: 0.3, numIterations: 5, targetKl: Kl.mnatsPerToken(20) })
    assert.isTrue(all.some((one) => one["policy/updates"]! < 5))
    assert.isTrue(all.every((one) => one["policy/updates"]! >= 1))
  })
})
