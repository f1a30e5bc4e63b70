import fc from "fast-check"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "vitest"
import type { Codec } from "../../src/engine/engine.ts"
import { BadCheckpoint } from "../../src/model/BadCheckpoint.ts"
import { codec } from "../../src/model/tokenizer.ts"
import { wordLevel } from "../../src/model/wordLevel.ts"
import { filesOf, shared } from "./shared.ts"

const stories = shared("models/stories260K-hf")
const gpt2 = shared("tokenizers/gpt2")
const bpe = shared("tokenizers/tiny/tiny_bpe_tokenizer.json")

const joined = (of: Codec, prompt: string, completion: string): ReadonlyArray<number> => [
  ...of.encodePrompt(prompt),
  ...of.encodeCompletion(completion, { end: false })
]

/** Anything that UTF-8 can hold, ASCII words often. */
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.stringMatching(/^[a-c .\n]{0,12}$/)
)

/** What every tokenizer that can write any text owes. `special` are texts that it reads as special tokens. */
const laws = (of: Codec, special: ReadonlyArray<string>, text = anyText): void => {
  const ordinary = text.filter((one) => !special.some((token) => one.includes(token)))
  it("invariant 35: decode undoes encode, for prompts and for completions", () => {
    fc.assert(
      fc.property(ordinary, (one) => {
        assert.strictEqual(of.decode(of.encodePrompt(one)), one)
        assert.strictEqual(of.decode(of.encodeCompletion(one, { end: true })), one)
      }),
      { numRuns: 300 }
    )
  })

  it("a prompt and its completion decode to the whole text, wherever it is cut", () => {
    // After an empty prompt (bos alone) there is no dummy space, so a space that the text begins with is taken for it.
    const prompts = ordinary.filter((one) => one !== "")
    fc.assert(
      fc.property(prompts, ordinary, (prompt, completion) => {
        assert.strictEqual(of.decode(joined(of, prompt, completion)), prompt + completion)
      }),
      { numRuns: 300 }
    )
  })

  it("ids are below the vocabulary size", () => {
    fc.assert(fc.property(ordinary, (one) => {
      for (const id of of.encodePrompt(one)) assert.isTrue(id >= 0 && id < of.vocab)
    }))
  })
}

describe.skipIf(stories === null)("stories260K", () => {
  const files = stories === null ? new Map() : filesOf(stories, ["tokenizer.json", "tokenizer_config.json"])
  const of = stories === null
    ? codec(wordLevel([]), { vocab: 4, bos: 1, eos: [2] })
    : codec(files, { vocab: 512, bos: 1, eos: [2] })
  // SentencePiece writes a space as "▁", so it cannot tell the two apart.
  laws(of, ["<s>", "</s>", "<unk>", "▁"])

  it("reads a written ▁ as a space, as SentencePiece does", () => {
    assert.deepEqual(of.encodePrompt("one▁day"), of.encodePrompt("one day"))
    assert.strictEqual(of.decode(of.encodePrompt("one▁day")), "one day")
  })

  it("gives the ids of the golden file and its texts", () => {
    const golden = JSON.parse(readFileSync(shared("models/stories260K/golden.json")!, "utf8")) as {
      readonly cases: ReadonlyArray<{
        readonly prompt: string
        readonly prompt_ids: ReadonlyArray<number>
        readonly greedy_ids: ReadonlyArray<number>
        readonly text: string
      }>
    }
    assert.isAbove(golden.cases.length, 1)
    for (const one of golden.cases) {
      assert.deepEqual(Array.from(of.encodePrompt(one.prompt)), one.prompt_ids)
      assert.strictEqual(of.decode([...one.prompt_ids, ...one.greedy_ids]), one.text)
    }
  })

  it("invariant 35: continues a prompt as if it had not been cut", () => {
    assert.deepEqual(joined(of, "Once upon", " a time"), Array.from(of.encodePrompt("Once upon a time")))
    const words = fc.array(fc.constantFrom("Once", "upon", "a", "time", "Lily", "played", "with", "the", "ball."), {
      minLength: 2
    })
    fc.assert(
      fc.property(
        words.chain((list) => fc.tuple(fc.constant(list), fc.integer({ min: 1, max: list.length - 1 }))),
        ([list, cut]) => {
          // No piece of this vocabulary has a space inside, so cutting before one never cuts a token.
          const [prompt, completion] = [list.slice(0, cut).join(" "), ` ${list.slice(cut).join(" ")}`]
          assert.deepEqual(joined(of, prompt, completion), Array.from(of.encodePrompt(prompt + completion)))
        }
      )
    )
  })

  it("begins with bos once and ends with eos when asked", () => {
    assert.deepEqual(Array.from(of.encodePrompt("")), [1])
    assert.deepEqual(of.encodePrompt("<s>a"), of.encodePrompt("a"))
    assert.deepEqual(Array.from(of.encodeCompletion("", { end: true })), [2])
    assert.deepEqual(Array.from(of.encodeCompletion("", { end: false })), [])
    assert.deepEqual(of.stop, [2])
    assert.strictEqual(of.decode([]), "")
    assert.strictEqual(of.decode([1, 2]), "")
    // Ids of a padded vocabulary that no token has are left out.
    assert.strictEqual(of.decode([1, 403, 600, -1, 407]), "Once upon")
  })

  it("reads special tokens inside a completion as in the whole text", () => {
    const whole = Array.from(of.encodePrompt("one </s> two"))
    assert.deepEqual(joined(of, "one", " </s> two"), whole)
  })

  it("leaves out what a post-processor appends", () => {
    const json = JSON.parse(files.get("tokenizer.json")!) as {
      post_processor: { single: Array<unknown>; special_tokens: unknown }
    }
    json.post_processor.single.push({ SpecialToken: { id: "</s>", type_id: 0 } })
    const ending = codec(new Map([...files, ["tokenizer.json", JSON.stringify(json)]]), {
      vocab: 512,
      bos: 1,
      eos: [2]
    })
    assert.deepEqual(ending.encodePrompt("Once"), of.encodePrompt("Once"))
  })

  it("takes bos from the configuration when there is no post-processor", () => {
    const json = JSON.stringify({ ...JSON.parse(files.get("tokenizer.json")!), post_processor: null })
    const config = { vocab: 512, bos: 1, eos: [2] }
    const bare = new Map([...files, ["tokenizer.json", json]])
    assert.deepEqual(codec(bare, config).encodePrompt("Once"), of.encodePrompt("Once"))
    const settings = JSON.stringify({ ...JSON.parse(files.get("tokenizer_config.json")!), add_bos_token: false })
    const without = codec(new Map([...bare, ["tokenizer_config.json", settings]]), config)
    assert.deepEqual(Array.from(without.encodePrompt("Once")), Array.from(of.encodePrompt("Once").subarray(1)))
    assert.strictEqual(without.decode(without.encodePrompt("Once")), "Once")
  })

  it("does not fit a smaller vocabulary", () => {
    assert.throws(
      () => codec(files, { vocab: 511, bos: 1, eos: [2] }),
      /1 of its tokens have ids up to 511, but vocab_size .* is 511/
    )
  })
})

describe.skipIf(gpt2 === null)("gpt2", () => {
  const of = ((): Codec => {
    if (gpt2 === null) return codec(wordLevel([]), { vocab: 4, bos: 1, eos: [2] })
    const text = (name: string): string => gunzipSync(readFileSync(`${gpt2}/${name}.gz`)).toString("utf8")
    const end = {
      id: 50256,
      content: "<|endoftext|>",
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true
    }
    const step = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }
    const merges = text("merges.txt").split("\n").filter((line) => line !== "" && !line.startsWith("#version"))
    const json = {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [end],
      normalizer: null,
      pre_tokenizer: step,
      post_processor: step,
      decoder: step,
      model: {
        type: "BPE",
        unk_token: null,
        byte_fallback: false,
        vocab: JSON.parse(text("vocab.json")) as unknown,
        merges
      }
    }
    const settings = { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" }
    const files = new Map([["tokenizer.json", JSON.stringify(json)], [
      "tokenizer_config.json",
      JSON.stringify(settings)
    ]])
    return codec(files, { vocab: 50257, bos: 50256, eos: [50256] })
  })()
  laws(of, ["<|endoftext|>"])

  it("gives the ids that GPT-2 was trained with", () => {
    assert.deepEqual(Array.from(of.encodePrompt("Hello world")), [15496, 995])
    assert.deepEqual(joined(of, "Hello", " world"), [15496, 995])
  })
})

describe.skipIf(bpe === null)("a tiny byte-level BPE that lacks most bytes", () => {
  const files = bpe === null ? wordLevel([]) : new Map([["tokenizer.json", readFileSync(bpe, "utf8")]])
  const of = codec(files, { vocab: 2003, bos: null, eos: [2002] })
  laws(of, ["<|"], fc.stringMatching(/^[a-zA-Z0-9 .,\n]{0,30}$/))
})

describe("wordLevel", () => {
  const words = ["red", "green", "\\", '"', "7", "__proto__"]
  const of = codec(wordLevel(words), { vocab: 10, bos: 1, eos: [2] })

  it("numbers the words from 4 in their order", () => {
    assert.deepEqual(Array.from(of.encodePrompt("red green")), [1, 4, 5])
    words.forEach((word, i) => assert.deepEqual(Array.from(of.encodeCompletion(word, { end: true })), [4 + i, 2]))
    assert.deepEqual(Array.from(of.encodePrompt("red blue")), [1, 4, 0])
  })

  it("decode undoes encode, and a cut between words changes nothing", () => {
    const list = fc.array(fc.constantFrom(...words))
    fc.assert(fc.property(list, list, (left, right) => {
      const text = [...left, ...right].join(" ")
      assert.strictEqual(of.decode(of.encodePrompt(text)), text)
      assert.deepEqual(joined(of, left.join(" "), ` ${right.join(" ")}`), Array.from(of.encodePrompt(text)))
    }))
  })

  it("refuses what is not a list of different words", () => {
    for (const wrong of [["a", "a"], ["a b"], [""], ["<s>"], ["a\n"]]) assert.throws(() => wordLevel(wrong), RangeError)
  })
})

describe("tokenizer files that cannot be used", () => {
  const config = { vocab: 10, bos: 1, eos: [2] }
  const good = wordLevel(["a"])
  const own = JSON.parse(good.get("tokenizer.json")!)
  const changed = (more: object): ReadonlyMap<string, string> =>
    new Map([...good, ["tokenizer.json", JSON.stringify({ ...own, ...more })]])
  const withId = (id: unknown) => changed({ model: { ...own.model, vocab: { ...own.model.vocab, a: id } } })
  const step = (type: string, more: object) => ({ type: "Sequence", pretokenizers: [{ type, ...more }] })
  it.each([
    ["none", new Map<string, string>(), /tokenizer\.json: missing.*save_pretrained/],
    ["not JSON", new Map([["tokenizer.json", "{"]]), /not JSON/],
    ["not an object", new Map([["tokenizer.json", "[]"]]), /not a JSON object/],
    ["another object", new Map([["tokenizer.json", "{}"]]), /cannot be read/],
    ["a negative id", withId(-1), /the token "a" of vocab has the id -1, which is no whole number/],
    ["half an id", withId(4.5), /the id 4\.5, which is no whole number/],
    ["an id that is no number", withId("4"), /the id "4", which is no whole number/],
    ["an id beyond all", withId(2 ** 31 - 1), /ids up to 2147483647, but vocab_size .* is 10/],
    ["an id twice", withId(3), /"<pad>" and "a" of vocab share the id 3/],
    [
      "no template",
      changed({ post_processor: { type: "TemplateProcessing", single: null } }),
      /single of TemplateProc/
    ],
    ["no step", changed({ post_processor: { type: "Sequence", processors: [null] } }), /step without a type: null/],
    ["no pattern", changed({ pre_tokenizer: step("Split", { pattern: 3 }) }), /pattern of Split .* cannot be 3/],
    ["no length", changed({ pre_tokenizer: step("FixedLength", { length: 0 }) }), /length of FixedLength .* be 0/],
    ["no regular expression", changed({ pre_tokenizer: step("Split", { pattern: { Regex: "(" } }) }), /cannot be read/],
    ["no list of tokens", changed({ added_tokens: [{ id: 4 }] }), /objects with a content/],
    ["depth", new Map([["tokenizer.json", `{"a":${"[".repeat(20_000)}${"]".repeat(20_000)}}`]]), /levels deep/],
    ["bad settings", new Map([...good, ["tokenizer_config.json", "nope"]]), /tokenizer_config\.json: not JSON/],
    [
      "bad template",
      new Map([...good, ["chat_template.jinja", "{% if %}"]]),
      /chat_template\.jinja: the chat template is not valid/
    ]
  ])("%s", (_, files, expected) => {
    try {
      codec(files, config)
    } catch (error) {
      assert.instanceOf(error, BadCheckpoint)
      return assert.match(error.message, expected)
    }
    assert.fail("accepted")
  })
})

describe("chat templates", () => {
  const config = { vocab: 10, bos: 1, eos: [2] }
  const withTemplate = (template: unknown, file?: string): Codec => {
    const files = new Map(wordLevel(["a"]))
    files.set(
      "tokenizer_config.json",
      JSON.stringify({ ...JSON.parse(files.get("tokenizer_config.json")!), chat_template: template })
    )
    if (file !== undefined) files.set("chat_template.jinja", file)
    return codec(files, config)
  }
  const hi = [{ role: "user", content: "hi" }]

  it("come from the file, the string or the one named default", () => {
    assert.strictEqual(withTemplate("{{ messages[0].content }}!").chat(hi), "hi!")
    assert.strictEqual(withTemplate("no", "{{ messages[0].role }}").chat(hi), "user")
    const named = [{ name: "tools", template: "no" }, { name: "default", template: "{{ bos_token }}yes" }]
    assert.strictEqual(withTemplate(named).chat(hi), "<s>yes")
    assert.throws(() => withTemplate(undefined).chat(hi), /no chat template/)
  })

  it("open the assistant's turn unless it spoke last", () => {
    const of = withTemplate("{% if add_generation_prompt %}A:{% endif %}")
    assert.strictEqual(of.chat(hi), "A:")
    assert.strictEqual(of.chat([...hi, { role: "assistant", content: "yes" }]), "")
  })

  it("find no clock", () => {
    const dated = "  {% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}"
    assert.strictEqual(withTemplate(dated).chat(hi), "26 Jul 2024")
  })

  it("pass on what the template complains about", () => {
    assert.throws(() => withTemplate("{{ raise_exception('roles must alternate') }}").chat(hi), /roles must alternate/)
  })
})
