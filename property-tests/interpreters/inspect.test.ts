/** What is looked at before anything is trained: models, tokenizers, and all rows as their stages will read them. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Compare,
  Dpo,
  Filter,
  Gold,
  Grpo,
  Kl,
  Mix,
  PreferenceLoss,
  Pretrain,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import * as Files from "../../src/data/files.ts"
import { initial } from "../../src/engine/transformer/initial.ts"
import { inspect } from "../../src/interpreters/inspect.ts"
import { save } from "../../src/model/checkpoint.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { failed, folderIn, runs, succeeded } from "./tiny.ts"

const folder = folders("inspect")
const services = Layer.mergeAll(Files.layer, NodeFileSystem.layer).pipe(Layer.provide(NodeFileSystem.layer))
const look = (root: Artifact.Any, options: Parameters<typeof inspect>[1] = {}) =>
  Effect.runPromise(inspect(root, options).pipe(Effect.provide(services)))
const problemsOf = async (root: Artifact.Any, options: Parameters<typeof inspect>[1] = {}) =>
  (await look(root, options)).problems.map(({ problem, stage }) => `${stage}: ${problem}`)

const words = ["a", "b", "c", "d", "<user>", "<assistant>"]
const shape = { dim: 8, layers: 1, heads: 2, kvHeads: 1, ffn: 8, context: 16 }
const modelOf = async (words: ReadonlyArray<string>): Promise<string> => {
  const at = join(folder(), "model")
  mkdirSync(at, { recursive: true })
  await Effect.runPromise(save(at, initial({ ...shape, words, seed: "x" })).pipe(Effect.provide(NodeFileSystem.layer)))
  return at
}
const file = (...rows: ReadonlyArray<unknown>): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return join(at, "rows.jsonl")
}
const times = (n: number, word = "a"): string => Array.from({ length: n }, () => word).join(" ")
const training = { batchSize: 2, learningRate: 1e-3 }

let model: string
beforeAll(async () => {
  model = await modelOf(words)
})
const base = (options: { readonly chatTemplate?: string } = {}) => Checkpoint.huggingFace("words", model, options)
const template = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}" +
  "{% if add_generation_prompt %}<assistant> {% endif %}"

describe("rows of all stages", () => {
  it("are tokenized before anything is trained: a later stage says what is wrong with its rows", async () => {
    const short = file({ prompt: "a", completion: "b" }, { prompt: "b", completion: "a" })
    const pairs = file(
      ...Array.from({ length: 30 }, (_, i) => ({ prompt: times(i), chosen: "b", rejected: "c" }))
    )
    const sft = Sft.make({ base: base(), demonstrations: Source.demonstrations(Source.file(short)) }, training)
    const held = Source.prompts(Source.file(short))
    const dpo = (how: object) =>
      Dpo.make({ init: sft, reference: sft, preferences: Source.preferences(Source.file(pairs)), held }, {
        ...training,
        ...how,
        loss: PreferenceLoss.dpo({ beta: 0.1 }),
        allowance: Kl.mnatsPerSequence(1000),
        maxNewTokens: 4
      })
    const [long, ...others] = await problemsOf(dpo({}))
    assert.deepStrictEqual(others, [])
    // <s>, the prompt, the answer and its end.
    assert.include(
      long,
      `${
        label(dpo({}))
      }: preferences: 16 of 30 rows are too long, first ${pairs}:15; the longest, ${pairs}:30, has 32 tokens; the context is 16.`
    )
    const { looks, problems } = await look(dpo({ truncation: "drop", maxLength: 10 }))
    assert.deepStrictEqual(problems, [])
    const { dropped, kept, rows, tokens, truncated } = looks.find(({ wire }) => wire === "preferences")!
    assert.deepStrictEqual([rows, kept, dropped, truncated, tokens.longest], [30, 8, 22, 0, 32])
    // A stage that was made before reads no rows.
    assert.deepStrictEqual(await problemsOf(dpo({}), { wanted: new Set([sft.id]) }), [])
  })

  it("go through operations on data, and a filter by tokens takes those that are too long away", async () => {
    const rows = file(...Array.from({ length: 20 }, (_, i) => ({ prompt: times(i), completion: "b" })))
    const mixed = Mix.make({ one: Source.demonstrations(Source.file(rows)) }, { take: { counts: { one: 20 } } })
    const filtered = (maxTokens: number) => Filter.make({ of: mixed, tokenizer: base() }, { maxTokens })
    const sft = (demonstrations: typeof mixed) => Sft.make({ base: base(), demonstrations }, training)
    assert.match((await problemsOf(sft(mixed)))[0]!, /6 of 20 rows are too long, first .*rows.jsonl:\d+; the longest/u)
    assert.lengthOf(await problemsOf(sft(filtered(17))), 1)
    assert.deepStrictEqual(await problemsOf(sft(filtered(16))), [])
    const { events } = succeeded(await runs(sft(filtered(16)), folder()))
    const told = events.flatMap((event) => event._tag === "Fitted" ? [`${event.dropped} of ${event.rows}`] : [])
    assert.deepStrictEqual(told, ["6 of 20"])
  })

  it("that a stage makes are looked at when they are made", async () => {
    const prompts = Source.prompts(Source.file(file({ prompt: "a" }, { prompt: "b" })))
    const preferences = Compare.make({ policy: base(), prompts }, { gold: Gold.tales, maxNewTokens: 15 })
    const reward = RewardModeling.make({ init: base(), preferences }, training)
    const { looks, problems } = await look(reward)
    assert.deepStrictEqual([looks.map(({ wire }) => wire), problems], [["prompts"], []])
  })

  it("prompts need room: GRPO drops those that leave no room for its answers", async () => {
    const prompts = Source.prompts(
      Source.file(file(...Array.from({ length: 20 }, (_, i) => ({ prompt: times(i), answer: "a" }))))
    )
    const held = Source.prompts(Source.file(file({ prompt: "d" })))
    const grpo = (how: object) =>
      Grpo.make({ init: base(), prompts, held }, {
        ...training,
        ...how,
        beta: 0,
        steps: 1,
        groupSize: 2,
        maxNewTokens: 6,
        verifiers: [Verifier.exactMatch()],
        allowance: Kl.mnatsPerSequence(1000)
      })
    // <s> and the prompt, and one token.
    assert.match((await problemsOf(grpo({})))[0]!, /: prompts: 5 of 20 rows .* tokens and needs room for 1 more/u)
    const { looks } = await look(grpo({ truncation: "drop" }))
    assert.deepStrictEqual(looks.filter(({ wire }) => wire === "prompts").map(({ kept }) => kept), [10])
  })
})

describe("a model", () => {
  it("of the same family has the same tokenizer, whatever its files look like", async () => {
    const rows = Source.demonstrations(Source.file(file({ prompt: "a", completion: "b" })))
    const two = (path: string, family = "words") =>
      Sft.make({
        base: Sft.make({ base: base(), demonstrations: rows }, training),
        demonstrations: Filter.make({ of: rows, tokenizer: Checkpoint.huggingFace(family, path) }, { maxTokens: 9 })
      }, training)
    assert.deepStrictEqual(await problemsOf(two(await modelOf(words))), [])
    const spaced = await modelOf(words)
    const path = join(spaced, "tokenizer.json")
    writeFileSync(path, JSON.stringify({ padding: {}, ...JSON.parse(readFileSync(path, "utf8")), version: "2.0" }))
    assert.deepStrictEqual(await problemsOf(two(spaced)), [])
    const other = await modelOf([...words].reverse())
    for (const how of [{}, { first: 4 }]) {
      const [line, ...more] = await problemsOf(two(other), how)
      assert.deepStrictEqual(more, [])
      assert.match(line!, /its tokenizer is not that of checkpoint-.*, of the same family 'words': vocab differ; give/u)
      assert.deepStrictEqual(await problemsOf(two(other, "other"), how), [])
    }
  })

  it("that is pretrained has the words of its text, and those of its family are compared with them", async () => {
    const text = (...texts: ReadonlyArray<string>) => Source.text(Source.file(file(...texts.map((text) => ({ text })))))
    const made = (of: ReturnType<typeof text>) =>
      Pretrain.make({ text: of }, { family: "mine", model: shape, steps: 1, ...training })
    const demonstrations = Source.demonstrations(Source.file(file({ prompt: times(20), completion: "b" })))
    const sft = Sft.make({ base: made(text("a b", "c")), demonstrations }, training)
    assert.match((await problemsOf(sft))[0]!, /demonstrations: .* has 23 tokens; the context is 16/u)
    const two = Sft.make({
      base: made(text("a b", "c")),
      demonstrations: Filter.make({ of: demonstrations, tokenizer: made(text("x y")) }, { maxTokens: 9 })
    }, { ...training, truncation: "drop" })
    assert.match((await problemsOf(two)).join("\n"), /of the same family 'mine': vocab differ/u)
  })

  it("is known by its headers: names and shapes, and a file that is cut off", async () => {
    const demonstrations = Source.demonstrations(Source.file(file({ prompt: "a", completion: "b" })))
    const first = async (change: (at: string) => void) => {
      const at = await modelOf(words)
      change(at)
      return problemsOf(Sft.make({ base: Checkpoint.huggingFace("words", at), demonstrations }, training), { first: 4 })
    }
    assert.deepStrictEqual(await first(() => {}), [])
    const config = (at: string, change: object) => {
      const path = join(at, "config.json")
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }))
    }
    assert.match((await first((at) => config(at, { intermediate_size: 9 })))[0]!, /wrong shape: model.layers.0.mlp/u)
    assert.match((await first((at) => config(at, { num_hidden_layers: 2 })))[0]!, /missing: model.layers.1/u)
    const weights = (at: string, change: (bytes: Buffer) => Uint8Array) => {
      const path = join(at, "model.safetensors")
      writeFileSync(path, change(readFileSync(path)))
    }
    assert.match((await first((at) => weights(at, (bytes) => bytes.subarray(0, -8))))[0]!, /truncated/u)
    assert.match((await first((at) => weights(at, (bytes) => bytes.subarray(0, 5))))[0]!, /too short/u)
    assert.match((await first((at) => weights(at, () => Buffer.from(times(99)))))[0]!, /not safetensors/u)
  })

  it("of a base model takes the chat template of the description, which is saved with what is trained from it", async () => {
    const talk = { messages: [{ role: "user", content: "a b" }, { role: "assistant", content: "c" }] }
    const demonstrations = Source.demonstrations(Source.file(file(talk, talk)))
    const sft = (options: object) => Sft.make({ base: base(options), demonstrations }, training)
    for (const how of [{}, { first: 4 }]) {
      assert.match(
        (await problemsOf(sft({}), how))[0]!,
        /rows.jsonl:1: .*the model's tokenizer has no chat template.* Give it one/u
      )
      assert.deepStrictEqual(await problemsOf(sft({ chatTemplate: template }), how), [])
      assert.match((await problemsOf(sft({ chatTemplate: "{% if %}" }), how))[0]!, /: chatTemplate: .*not valid Jinja/u)
    }
    const [store, root] = [folder(), sft({ chatTemplate: template })]
    succeeded(await runs(root, store))
    const at = join(await folderIn(store, root), "model")
    assert.strictEqual(readFileSync(join(at, "chat_template.jinja"), "utf8"), template)
    // The trained model renders conversations by itself.
    assert.deepStrictEqual(
      await problemsOf(Sft.make({ base: Checkpoint.huggingFace("words", at), demonstrations }, training)),
      []
    )
    assert.match(failed(await runs(sft({}), folder())).message, /no chat template/u)
  })

  it("and the first rows are looked at in a moment: a bad row further down is not read", async () => {
    const good = { prompt: "a", completion: "b" }
    const of = (rows: ReadonlyArray<unknown>) =>
      Sft.make({ base: base(), demonstrations: Source.demonstrations(Source.file(file(...rows))) }, training)
    assert.match((await problemsOf(of([good, { q: 1 }]), { first: 4 }))[0]!, /rows.jsonl:2: no field "prompt"/u)
    assert.deepStrictEqual(await problemsOf(of([good, good, good, good, { q: 1 }]), { first: 4 }), [])
    assert.match((await problemsOf(of([good, good, good, good, { q: 1 }])))[0]!, /rows.jsonl:5: no field "prompt"/u)
  })
})
