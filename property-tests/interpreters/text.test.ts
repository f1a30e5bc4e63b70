/** Text beside demonstrations, and pretraining that goes on from a model. */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Kl, Pipeline, Pretrain, Sft, Source } from "../../dsl/index.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { problems } from "../../src/interpreters/check.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, runs, succeeded } from "./tiny.ts"
import { making, small } from "./worldly.ts"

const folder = folders("text")
const base = Checkpoint.huggingFace("tales", "base")
const text = Source.text(Source.tales({ count: 12 }))
const demonstrations = Source.demonstrations(Source.tales({ count: 12 }))
const said = (root: Artifact.Any) => problems(root).map(({ problem }) => problem).join("\n")
const ran = async (root: Artifact.Any) => {
  const events: Array<Event> = []
  const { weights } = await Effect.runPromise(
    making(root, { world: small, onEvent: (event) => events.push(event), repeated: 4 })
  ) as { readonly weights: Weights }
  return { weights, steps: events.flatMap((event) => event._tag === "Step" ? [event] : []) }
}

describe("pretrainingShare", () => {
  const how = { batchSize: 4, learningRate: 1e-9, steps: 18 }
  const mixed = (pretrainingShare: number, more: object = {}) =>
    Sft.make({ base, demonstrations, pretraining: text }, { ...how, pretrainingShare, ...more })

  it("adds so many documents to the same demonstrations, spread over the steps", async () => {
    const plain = (await ran(Sft.make({ base, demonstrations }, how))).steps.map(({ tokens }) => tokens)
    for (const [share, documents] of [[0.1, 8], [0.2, 18], [0.05, 4]] as const) {
      const with_ = (await ran(mixed(share))).steps.map(({ tokens }) => tokens)
      const more = with_.map((tokens, n) => tokens - plain[n]!)
      assert.strictEqual(more.filter((tokens) => tokens > 0).length, documents, `${share}`)
      assert.isTrue(more.every((tokens) => tokens >= 0))
    }
  })

  it("learns the text", async () => {
    const plain = Sft.make({ base, demonstrations }, { ...how, learningRate: 0.05 })
    /** The loss of the whole text under a model: that of the first step from it. */
    const loss = async (init: ReturnType<typeof mixed>) => {
      const { steps } = await ran(Pretrain.make({ text, init }, { steps: 1, batchSize: 12, learningRate: 1e-12 }))
      return steps.at(-1)!.metrics["loss"]!
    }
    assert.isBelow(await loss(mixed(0.5, { learningRate: 0.05 })), await loss(plain) - 0.01)
  })

  it("needs the text, and the text needs it", () => {
    assert.strictEqual(said(mixed(0.1)), "")
    assert.include(
      said(Sft.make({ base, demonstrations }, { ...how, pretrainingShare: 0.1 })),
      "Sft.pretraining is missing"
    )
    assert.include(said(Sft.make({ base, demonstrations, pretraining: text }, how)), "pretraining has no use without")
    assert.include(said(mixed(0.1, { batchTokens: 100 })), "batchTokens packs demonstrations alone")
    assert.include(said(mixed(1)), "must be above 0 and below 1")
  })
})

describe("continued pretraining", () => {
  const scratch = Pretrain.make({ text }, {
    family: "tales",
    model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
    steps: 4,
    batchSize: 2,
    learningRate: 3e-3
  })
  const onwards = (steps: number) => Pretrain.make({ text, init: scratch }, { steps, batchSize: 2, learningRate: 3e-3 })

  it("starts from the model: a text that it knows, and goes on to the same bytes after an interruption", async () => {
    const root = onwards(4)
    assert.strictEqual(root.node.family, "tales")
    const [whole, at] = [folder(), folder()]
    const losses = succeeded(await runs(root, whole)).events.flatMap((event) =>
      event._tag === "Step" ? [event.metrics["loss"]!] : []
    )
    assert.lengthOf(losses, 8)
    assert.isBelow(losses[4]!, losses[0]!)
    await runs(root, at, { stopAt: (event) => event._tag === "Step" && event.steps === 4 && event.step === 2 })
    succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), contents(whole))
  })

  it("has the family and shape of the model, and nothing else names them", () => {
    assert.strictEqual(said(onwards(2)), "")
    const both = Pretrain.make({ text, init: scratch }, { ...scratch.node.params as object, steps: 2 } as never)
    assert.include(said(both as Artifact.Any), "family is that of Pretrain.init: leave it out, or leave init out")
    const none = Pretrain.make({ text }, { steps: 2, batchSize: 2, learningRate: 1e-3 } as never)
    assert.include(said(none as Artifact.Any), "family is missing: name the new model family, or connect Pretrain.init")
  })

  it("is within the KL caps of what is made of it", () => {
    const sft = Sft.make({ base: onwards(2), demonstrations }, { batchSize: 2, learningRate: 1e-3 })
    const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
    const capped = Pipeline.cap(
      sft as never,
      { kl: Kl.mnatsPerSequence(1000), from: scratch, held, maxNewTokens: 4 } as never
    )
    assert.strictEqual(said(capped as Artifact.Any), "")
  })
})
