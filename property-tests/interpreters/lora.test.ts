/** LoRA as a choice on training stages: what is stored, resuming, the reference, and what `check` refuses. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, type FileSystem } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Kl, Lora, Pipeline, Ppo, Pretrain, RewardModeling, Sft, Source } from "../../dsl/index.ts"
import { Compare, Gold } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import * as adapters from "../../src/model/adapter.ts"
import { load } from "../../src/model/checkpoint.ts"
import { largestDifference } from "../engine/transformer/tinyModels.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, folderIn, runs, succeeded } from "./tiny.ts"

const folder = folders("lora")
const read = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeFileSystem.layer))

const lora = { rank: 2, alpha: 4, targetModules: Lora.allLinear }
const prompts = Source.prompts(Source.tales({ count: 4 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
  steps: 2,
  batchSize: 2,
  learningRate: 3e-3
})
const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const sft = Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-2, checkpointEvery: 2, lora })
const reward = RewardModeling.make({
  init: base,
  preferences: Compare.make({ policy: sft, prompts }, { gold: Gold.tales, maxNewTokens: 4 })
}, { batchSize: 2, learningRate: 1e-2, lora })
const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(1),
  beta: 0.05,
  steps: 2,
  batchSize: 4,
  learningRate: 1e-2,
  maxNewTokens: 4,
  measureEvery: 1,
  measureSamples: 8,
  checkpointEvery: 1,
  lora: { ...lora, targetModules: ["q_proj", "v_proj"] }
})
const root = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence<number>(20_000), from: sft })

describe("a stage with lora", () => {
  const store = folder()
  const ran = runs(root, store)
  const at = (store: string, of: Artifact.Any) => folderIn(store, of, root)

  it("makes an ordinary model, the base with the adapter that is kept beside it merged", async () => {
    succeeded(await ran)
    for (const [of, from] of [[sft, base], [rl, sft]] as const) {
      const [model, start] = [
        await read(load(join(await at(store, of), "model"))),
        await read(load(join(await at(store, from), "model")))
      ]
      const again = adapters.merge(start, await read(adapters.load(join(await at(store, of), "adapter"))))
      for (const [name, { data }] of model.tensors) {
        assert.isAtMost(largestDifference(data, again.tensors.get(name)!.data), 1e-6, name)
      }
      const [embed, q] = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"]
      assert.strictEqual(largestDifference(model.tensors.get(embed)!.data, start.tensors.get(embed)!.data), 0)
      assert.isAbove(largestDifference(model.tensors.get(q)!.data, start.tensors.get(q)!.data), 1e-4)
    }
    const config = JSON.parse(
      readFileSync(join(await at(store, reward), "adapter", "adapter_config.json"), "utf8")
    ) as Record<string, unknown>
    assert.deepStrictEqual([config["task_type"], config["modules_to_save"], config["r"]], ["SEQ_CLS", ["score"], 2])
    assert.isFalse(existsSync(join(await at(store, base), "adapter")))
  })

  it("has the reference that its wire says: the policy before its first update is no distance from it", async () => {
    const { events } = succeeded(await ran)
    const steps = events.flatMap((event) => event._tag === "Step" && event.stage === label(rl) ? [event.metrics] : [])
    assert.strictEqual(steps[0]!["objective/kl"], 0)
    assert.isAbove(Math.abs(steps[1]!["objective/kl"]!), 1e-6)
  })

  it("gives the model of a checkpoint with an adapter, as the store holds both", async () => {
    succeeded(await ran)
    const with1 = await read(
      adapters.loadWith(join(await at(store, base), "model"), join(await at(store, sft), "adapter"))
    )
    const model = await read(load(join(await at(store, sft), "model")))
    for (const [name, { data }] of model.tensors) {
      assert.isAtMost(largestDifference(data, with1.tensors.get(name)!.data), 1e-6)
    }
  })

  it("goes on from its checkpoints to the same bytes", async () => {
    succeeded(await ran)
    for (const stop of [`${label(sft)} 3`, `${label(rl)} 1`]) {
      const other = folder()
      await runs(root, other, {
        stopAt: (event) => event._tag === "Step" && `${event.stage} ${event.step}` === stop
      })
      const resumed = succeeded(await runs(root, other))
      assert.isTrue(resumed.events.some((event) => event._tag === "Started" && event.from > 0), stop)
      assert.deepStrictEqual(contents(other), contents(store))
    }
  })
})

describe("a stage with lora that rolls back", () => {
  const back = (params: object, cap: number) => {
    const rolling = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
      ...rl.node.params as object,
      steps: 6,
      measureMost: 64,
      ...params
    } as never)
    return {
      rolling,
      root: Pipeline.cap(rolling, { kl: Kl.mnatsPerSequence<number>(cap), from: sft, whenSpent: "rollback" })
    }
  }
  const folderOf = async (store: string, { rolling, root }: ReturnType<typeof back>) => folderIn(store, rolling, root)

  it("keeps the adapter of the step that it went back to beside the merged model, interrupted or not", async () => {
    const store = folder()
    let found: { of: ReturnType<typeof back>; step: number } | undefined
    for (let seed = 5; seed < 15 && found === undefined; seed++) {
      const of = back({ seed, learningRate: 0.02 }, 40)
      const over = succeeded(await runs(of.root, store)).events.find((event) => event._tag === "OverBudget")
      if (over?._tag === "OverBudget" && over.kept!.step > 0) found = { of, step: over.kept!.step }
    }
    const { of, step } = found!
    const merged = async (at: string) => {
      const [start, model, adapter] = [
        await read(load(join(await folderIn(at, sft), "model"))),
        await read(load(join(await folderOf(at, of), "model"))),
        await read(adapters.load(join(await folderOf(at, of), "adapter")))
      ]
      const again = adapters.merge(start, adapter)
      for (const [name, { data }] of model.tensors) {
        assert.isAtMost(largestDifference(data, again.tensors.get(name)!.data), 1e-6, name)
      }
      const q = "model.layers.0.self_attn.q_proj.weight"
      assert.isAbove(largestDifference(model.tensors.get(q)!.data, start.tensors.get(q)!.data), 1e-4)
    }
    await merged(store)
    const other = folder()
    await runs(of.root, other, {
      stopAt: (event) => event._tag === "Step" && event.stage === label(of.rolling) && event.step === step
    })
    succeeded(await runs(of.root, other))
    await merged(other)
    const name = basename(await folderOf(store, of))
    const made = (at: string) => [...contents(at)].filter(([path]) => path.startsWith(name))
    assert.isAtLeast(made(store).filter(([path]) => path.includes("/adapter/")).length, 2)
    assert.deepStrictEqual(made(other), made(store))
  })

  it("to where it started has an adapter that changes nothing, and not that of the stage before", async () => {
    const [store, of] = [folder(), back({ learningRate: 1 }, 1)]
    const over = succeeded(await runs(of.root, store)).events.find((event) => event._tag === "OverBudget")
    assert.isTrue(over?._tag === "OverBudget" && over.kept!.step === 0)
    const { pairs, targetModules } = await read(adapters.load(join(await folderOf(store, of), "adapter")))
    assert.deepStrictEqual([...targetModules].sort(), ["q_proj", "v_proj"])
    for (const { b } of pairs.values()) assert.isTrue(b.data.every((x) => x === 0))
    const model = (at: string) => readFileSync(join(at, "model", "model.safetensors"))
    assert.isTrue(model(await folderOf(store, of)).equals(model(await folderIn(store, sft))))
  })
})

describe("a reference that follows a policy with adapters", () => {
  it("has none of its own, and goes on from a checkpoint as it stood", async () => {
    const { lora, ...params } = rl.node.params as { readonly lora: unknown }
    const moving = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
      ...params,
      lora,
      steps: 3,
      referencePolicy: { _tag: "MovingAverage", rate: 0.5, every: 1 }
    } as never)
    const root = Pipeline.cap(moving, { kl: Kl.mnatsPerSequence<number>(20_000), from: sft })
    const [straight, stopped] = [folder(), folder()]
    succeeded(await runs(root, straight))
    await runs(root, stopped, {
      stopAt: (event) => event._tag === "Step" && event.stage === label(moving) && event.step === 2
    })
    const resumed = succeeded(await runs(root, stopped))
    assert.isTrue(resumed.events.some((event) => event._tag === "Started" && event.from === 2))
    assert.deepStrictEqual(contents(stopped), contents(straight))
  })
})

describe("lora", () => {
  const told = (params: object) =>
    problems(Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-3, ...params } as never))
      .map(({ problem }) => problem).join("\n")

  it("of nonsense is refused, all at once", () => {
    assert.include(
      told({ lora: { ...lora, rank: 17 } }),
      "lora.rank 17 is larger than the smaller dimension of q_proj, 16"
    )
    assert.include(
      told({ lora: { ...lora, rank: 9 } }),
      "lora.rank 9 is larger than the smaller dimension of k_proj, 8"
    )
    assert.strictEqual(told({ lora: { ...lora, rank: 8 } }), "")
    assert.include(told({ lora: { ...lora, targetModules: ["q_proj", "w_proj"] } }), `at ["lora"]["targetModules"][1]`)
    assert.notStrictEqual(told({ lora: { ...lora, targetModules: [] } }), "")
    assert.include(told({ lora: { ...lora, targetModules: ["q_proj", "q_proj"] } }), "must name each module once")
    assert.include(told({ lora: { ...lora, alpha: 0, rank: 0.5 } }), "must be above 0")
    assert.include(told({ lora: { ...lora, dropout: 0.1 } }), "dropout")
    const params = { ...(base.node.params as object), lora }
    const pretrain = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, params as never)
    assert.include(problems(pretrain).map(({ problem }) => problem).join(), "pretraining starts from nothing")
  })

  it("changes what a stage is, and in a tabular world not what it does but for the key", async () => {
    const world = Checkpoint.huggingFace("world", "anywhere")
    const make = (params: { readonly lora?: typeof lora }) =>
      Sft.make({ base: world, demonstrations }, { batchSize: 8, learningRate: 1e-3, ...params })
    assert.notStrictEqual(make({}).id, make({ lora }).id)
    const [plain, adapted] = await Promise.all([make({}), make({ lora })].map((of) => Effect.runPromise(simulate(of))))
    assert.closeTo(plain!.policies.at(-1)!.gold, adapted!.policies.at(-1)!.gold, 1e-9)
  })
})
