/** Real small files of every kind that Keel reads, to be harmed. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { Artifact, Checkpoint, Pipeline, Sft, Source } from "../../dsl/index.ts"
import { save as saveAdapter } from "../../src/model/adapter.ts"
import { save } from "../../src/model/checkpoint.ts"
import { modelConfig } from "../../src/model/config.ts"
import { initial, llamaConfig } from "../../src/model/init.ts"
import { wordLevel } from "../../src/model/wordLevel.ts"
import { words } from "../../src/data/tales/tales.ts"
import { run } from "../../src/program/run.ts"
import recipe from "../cli/recipe.ts"

export type Files = ReadonlyMap<string, Buffer>

/** The files of a folder by name, without folders in it. */
export const filesIn = (folder: string): Files =>
  new Map(
    readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => [
      name,
      readFileSync(join(folder, name))
    ])
  )

export const writeFiles = (folder: string, files: Files): void => {
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

const turn = "{% for m in messages %}<s> {{ m['role'] }} : {{ m.content | trim }} </s>{% endfor %}"
  + "{% if add_generation_prompt %}<s> assistant :{% endif %}"

const step = (type: string, more: object = {}) => ({ type, ...more })

/** Pieces of a tokenizer, as models have them. */
const pieces = {
  normalizers: [
    null,
    step("NFC"),
    step("Replace", { pattern: { String: " " }, content: "▁" }),
    step("Sequence", { normalizers: [step("Prepend", { prepend: "▁" }), step("Lowercase")] })
  ],
  preTokenizers: [
    step("WhitespaceSplit"),
    step("ByteLevel", { add_prefix_space: false, trim_offsets: true, use_regex: true }),
    step("Metaspace", { replacement: "▁", prepend_scheme: "first", split: true }),
    step("Sequence", {
      pretokenizers: [
        step("Split", { pattern: { Regex: "\\s+|\\p{L}+|[^\\s\\p{L}]+" }, behavior: "Isolated", invert: false }),
        step("Digits", { individual_digits: true })
      ]
    })
  ],
  decoders: [
    null,
    step("ByteLevel"),
    step("Metaspace", { replacement: "▁", prepend_scheme: "first" }),
    step("Sequence", {
      decoders: [
        step("Replace", { pattern: { String: "▁" }, content: " " }),
        step("ByteFallback"),
        step("Fuse"),
        step("Strip", { content: " ", start: 1, stop: 0 })
      ]
    })
  ]
}

/** Tokenizer files beside the model's own: byte pairs and a unigram model, with each of the pieces. */
const tokenizers = (own: string): ReadonlyArray<string> => {
  const base = JSON.parse(own)
  const vocab = base.model.vocab as Readonly<Record<string, number>>
  const models = [
    base.model,
    {
      type: "BPE",
      vocab,
      merges: [["t", "h"], ["th", "e"]],
      unk_token: "<unk>",
      byte_fallback: false,
      fuse_unk: false
    },
    { type: "Unigram", vocab: Object.keys(vocab).map((word, i) => [word, -i / 10]), unk_id: 0 },
    { type: "WordPiece", vocab, unk_token: "<unk>", continuing_subword_prefix: "##", max_input_chars_per_word: 100 }
  ]
  return pieces.preTokenizers.map((pre_tokenizer, i) =>
    JSON.stringify({
      ...base,
      normalizer: pieces.normalizers[i],
      pre_tokenizer,
      decoder: pieces.decoders[i],
      model: models[i]
    })
  )
}

export interface Seeds {
  readonly model: Files
  readonly tokenizers: ReadonlyArray<Buffer>
  readonly adapter: Files
  readonly descriptions: ReadonlyArray<string>
  readonly runFolder: Files
  /** By the role of their rows. */
  readonly rows: Readonly<Record<string, Buffer>>
  readonly prices: Buffer
}

const lines = (...rows: ReadonlyArray<unknown>): Buffer =>
  Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""))

const conversation = [
  { role: "user", content: "once there was a girl" },
  { role: "assistant", content: "she had a duck" }
]

/** Makes the seeds in `folder`. */
export const seedsIn = async (folder: string): Promise<Seeds> => {
  mkdirSync(folder, { recursive: true })
  const vocabulary = words()
  const config = llamaConfig({
    dim: 8,
    layers: 1,
    heads: 2,
    kvHeads: 1,
    ffn: 12,
    context: 64,
    vocab: vocabulary.length + 4,
    tied: true
  })
  const model = join(folder, "model")
  const adapter = join(folder, "adapter")
  const tokenizer = new Map([...wordLevel(vocabulary), ["chat_template.jinja", turn], [
    "generation_config.json",
    '{"eos_token_id": [2]}'
  ]])
  const matrix = (rows: number, columns: number) => ({
    shape: [rows, columns],
    data: new Float32Array(rows * columns).fill(0.1)
  })
  const data = join(folder, "texts.jsonl")
  writeFileSync(data, lines({ text: "once there was a girl" }, { text: "she had a duck" }))
  await Effect.runPromise(Effect.provide(
    Effect.andThen(
      save(model, { config, tensors: initial(modelConfig(config), "seed"), tokenizer }),
      saveAdapter(adapter, {
        rank: 2,
        alpha: 4,
        targetModules: ["q_proj"],
        pairs: new Map([["model.layers.0.self_attn.q_proj", { a: matrix(2, 8), b: matrix(8, 2) }]]),
        head: null
      })
    ),
    NodeFileSystem.layer
  ))
  const out = join(folder, "runs", "one")
  const trained = Sft.make({
    base: Checkpoint.huggingFace("tales", model),
    demonstrations: Source.demonstrations(Source.tales({ count: 4 }))
  }, { batchSize: 2, learningRate: 1e-3 })
  await Effect.runPromise(run(trained, { out, backend: "wasm" }))
  return {
    model: filesIn(model),
    tokenizers: tokenizers(tokenizer.get("tokenizer.json")!).map((text) => Buffer.from(text)),
    adapter: filesIn(adapter),
    descriptions: [recipe, trained].map((root) => Pipeline.toJson(root as Artifact.Any)),
    runFolder: filesIn(out),
    rows: {
      texts: readFileSync(data),
      prompts: lines({ prompt: "once", answer: 4 }, { prompt: conversation.slice(0, 1) }),
      demonstrations: lines({ prompt: "once", completion: " there" }, { messages: conversation }),
      preferences: lines(
        { prompt: "once", chosen: " there", rejected: " was", margin: 1 },
        { chosen: conversation, rejected: [conversation[0], { role: "assistant", content: "no" }] }
      ),
      unpairedPreferences: lines({ prompt: "once", completion: " there", label: true }, {
        messages: conversation,
        label: 0
      }),
      rankings: lines({ prompt: "once", completions: [" there", " was"], scores: [1, 2] }),
      stepwise: lines({ prompt: "once", completions: [" there", " was"], labels: [true, false] }),
      packed: gzipSync(readFileSync(data)),
      csv: Buffer.from('prompt,completion\nonce,"there ""was"""\nwas,"a, b\nc"\n'),
      json: Buffer.from(JSON.stringify([{ prompt: "once", completion: " there" }, { messages: conversation }])),
      zst: zstdCompressSync(lines({ prompt: "once", completion: " there" }))
    },
    prices: Buffer.from('{"currency": "USD", "devices": {"cpu": 0.1, "h100": 2.49}, "judge": {"perMillionTokens": 3}}')
  }
}
