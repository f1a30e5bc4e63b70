import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Compare, Evaluate, Gold, Pretrain, RewardModeling, Sft, Source } from "../../dsl/index.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, failed, folderIn, leftovers, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("bad")
const training = { batchSize: 2, learningRate: 1e-3 }
const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))

let model: string
beforeAll(async () => {
  const store = folder()
  const { base } = tiny()
  succeeded(await runs(base, store))
  model = join(await folderIn(store, base), "model")
})

/** A copy of the good model with something done to it. */
const broken = (break1: (at: string) => void): string => {
  const at = folder()
  cpSync(model, at, { recursive: true })
  break1(at)
  return at
}
const edit = (path: string, f: (value: any) => unknown): void =>
  writeFileSync(path, JSON.stringify(f(JSON.parse(readFileSync(path, "utf8")))))
const file = (name: string, text: string): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, name), text)
  return join(at, name)
}

/** The one line that a run ends with; it has made nothing. */
const refusal = async (root: Artifact.Any): Promise<string> => {
  const store = folder()
  const error = failed(await runs(root, store))
  assert.deepStrictEqual([...contents(store).keys()], [])
  assert.deepStrictEqual(leftovers(store), [])
  assert.notInclude(error.message, "\n")
  return `${error._tag}: ${error.message}`
}
const tuned = (base: string, on: Artifact.Artifact<"Demonstrations", ""> = demonstrations) =>
  Sft.make({ base: Checkpoint.huggingFace("tales", base), demonstrations: on }, training)
const rows = (...values: ReadonlyArray<unknown>): string => values.map((value) => `${JSON.stringify(value)}\n`).join("")

describe("a model that cannot be used", () => {
  it("for its weights of NaN is no matter of a learning rate", async () => {
    const at = broken((at) => {
      const path = join(at, "model.safetensors")
      const bytes = readFileSync(path)
      writeFileSync(path, bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE())))
    })
    const root = Evaluate.make(
      {
        initial: Checkpoint.huggingFace("tales", at),
        prompts: Source.prompts(Source.tales({ split: "held", count: 2 }))
      },
      { good: Checkpoint.huggingFace("tales", model) },
      { gold: Gold.tales, maxNewTokens: 4 }
    )
    const line = await refusal(root)
    assert.match(line, /^Diverged: .*kl of good is NaN .* look for NaN in them/u)
    assert.notInclude(line, "learning rate")
  })

  it("is used when nothing is wrong with it", async () => {
    succeeded(await runs(tuned(model), folder()))
  })

  const cases: ReadonlyArray<readonly [name: string, at: () => string, line: RegExp]> = [
    ["is not there", () => join(folder(), "none"), /^BadCheckpoint: .*there is no such folder. Check the path.$/],
    ["is a file", () => file("model", ""), /^BadCheckpoint: .*it is a file. Point at the folder it is in.$/],
    [
      "has no configuration",
      () => broken((at) => rmSync(join(at, "config.json"))),
      /^BadCheckpoint: .*it has no config.json. Point at /
    ],
    [
      "has a truncated file of weights",
      () => broken((at) => truncateSync(join(at, "model.safetensors"), 5000)),
      /^BadCheckpoint: .*model.safetensors.*: /
    ],
    [
      "has an empty file of weights",
      () => broken((at) => truncateSync(join(at, "model.safetensors"), 0)),
      /^BadCheckpoint: .*model.safetensors.*: /
    ],
    [
      "has weights of another shape than it says",
      () => broken((at) => edit(join(at, "config.json"), (config) => ({ ...config, intermediate_size: 25 }))),
      /^BadCheckpoint: /
    ],
    [
      "has a tokenizer of more words than its embedding",
      () =>
        broken((at) =>
          edit(
            join(at, "tokenizer.json"),
            (json) => ({ ...json, model: { ...json.model, vocab: { ...json.model.vocab, extra: 500 } } })
          )
        ),
      /^BadCheckpoint: .*tokenizer/
    ],
    ["has no tokenizer", () => broken((at) => rmSync(join(at, "tokenizer.json"))), /^BadCheckpoint: .*tokenizer/],
    [
      "is of another architecture",
      () =>
        broken((at) =>
          edit(
            join(at, "config.json"),
            (config) => ({ ...config, architectures: ["MambaForCausalLM"], model_type: "mamba" })
          )
        ),
      /^BadCheckpoint: .*mamba/i
    ]
  ]
  for (const [name, at, line] of cases) {
    it(`because it ${name}: one line, nothing made`, async () => assert.match(await refusal(tuned(at())), line))
  }
})

describe("data that cannot be used", () => {
  const pair = { prompt: "a dog", completion: " ran" }
  const use = (path: string, options?: Parameters<typeof Source.file>[1]) =>
    tuned(model, Source.demonstrations(Source.file(path, options)))
  const cases: ReadonlyArray<readonly [name: string, root: () => Artifact.Any, line: RegExp]> = [
    ["is not there", () => use("nowhere.jsonl"), /^BadData: nowhere.jsonl: /],
    ["is empty", () => use(file("a.jsonl", "")), /^BadData: .*a.jsonl/],
    ["is no JSON", () => use(file("a.jsonl", rows(pair) + '{"prompt":\n')), /^BadData: .*a.jsonl:2: /],
    [
      "has another column",
      () => use(file("a.jsonl", rows({ prompt: "a", answer: "b" }))),
      /^BadData: .*a.jsonl:1: .*completion/
    ],
    [
      "has fewer rows than are skipped",
      () => use(file("a.jsonl", rows(pair)), { offset: 3 }),
      /^BadData: .*no rows are left after the first 3. Lower offset/
    ],
    [
      "is preferences that tales does not have",
      () =>
        RewardModeling.make({
          init: Checkpoint.huggingFace("tales", model),
          preferences: Source.preferences(Source.tales({ count: 2 }))
        }, training),
      /^BadData: tales: it has no preferences of its own. Make them with Compare.make/
    ],
    [
      "has a row longer than the context",
      () => use(file("a.jsonl", rows(pair, { ...pair, completion: " dog".repeat(200) }))),
      /^UnusableData: sft-[0-9a-f]{8}: .*\.jsonl:2 has 204 tokens; the context is 96. Where it trains /
    ],
    [
      "has a prompt as long as the context",
      () =>
        Compare.make({
          policy: Checkpoint.huggingFace("tales", model),
          prompts: Source.prompts(Source.file(file("a.jsonl", rows({ prompt: "dog ".repeat(95) }))))
        }, { gold: Gold.tales, maxNewTokens: 4 }),
      /^UnusableData: compare-.*:1 has 96 tokens and needs room for 1 more; the context is 96/
    ],
    [
      "is a conversation, and the model has no chat template",
      () =>
        use(
          file("a.jsonl", rows({ messages: [{ role: "user", content: "hi" }, { role: "assistant", content: "ho" }] }))
        ),
      /^(BadData|UnusableData): .*template/
    ],
    [
      "is a conversation, and there is no model yet",
      () =>
        Pretrain.make({
          text: Source.text(Source.file(file("a.jsonl", rows({ messages: [{ role: "user", content: "hi" }] }))))
        }, {
          ...training,
          family: "new",
          steps: 1,
          model: { dim: 8, layers: 1, heads: 1, kvHeads: 1, ffn: 8, context: 16 }
        }),
      /^(BadData|UnusableData): .*/
    ],
    [
      "is more prompts than there are",
      () =>
        Evaluate.make(
          {
            initial: Checkpoint.huggingFace("tales", model),
            prompts: Source.prompts(Source.tales({ split: "held", count: 1_000_000 }))
          },
          { base: Checkpoint.huggingFace("tales", model) },
          { gold: Gold.tales, maxNewTokens: 2 }
        ),
      /^BadData: tales: it has \d+ held prompts, not 1000000. Ask for fewer.$/
    ]
  ]
  for (const [name, root, line] of cases) {
    it(`because it ${name}: one line, nothing made`, async () => assert.match(await refusal(root()), line))
  }

  it("is refused by check before anything is opened when the description is wrong already", async () => {
    const wrong = Sft.make({ base: Checkpoint.huggingFace("tales", "nowhere"), demonstrations }, {
      ...training,
      batchSize: 0
    })
    const store = folder()
    const error = failed(await runs(wrong, store))
    assert.strictEqual(error._tag, "Refused")
    assert.match(
      error.message,
      /^1 mistake; nothing was trained or written:\n {2}sft-[0-9a-f]{8}: must be a whole number above 0/
    )
    assert.deepStrictEqual([...contents(store).keys()], [])
  })
})

describe("an evaluation of a single prompt", () => {
  it("has no standard error, and is found again like any other", async () => {
    const base = Checkpoint.huggingFace("tales", model)
    const root = Evaluate.make({ initial: base, prompts: Source.prompts(Source.tales({ split: "held", count: 1 })) }, {
      base
    }, { gold: Gold.tales, maxNewTokens: 2 })
    const store = folder()
    succeeded(await runs(root, store))
    assert.deepStrictEqual(succeeded(await runs(root, store)).events.map(({ _tag }) => _tag), ["Cached"])
  })
})
