/** Tokens that stand beside `tokenizer.json`; the ids are those of transformers 5.18. */
import { assert, describe, it } from "vitest"
import { codec } from "../../src/model/tokenizer.ts"

const letters = ["h", "i", "a", "b", "x", "<", "|", "u", "s", "e", "r", ">", "/", " ", "½", "4", "z"]
const vocab = Object.fromEntries([...letters, "<s>", "</s>", "<|user|>"].map((token, id) => [token, id]))
const json = {
  added_tokens: [] as ReadonlyArray<object>,
  pre_tokenizer: null as object | null,
  decoder: { type: "Fuse" },
  model: { type: "BPE", vocab, merges: [] as ReadonlyArray<string> }
}
const token = { lstrip: false, rstrip: false, normalized: false, single_word: false, special: true }
const open = (settings: object, { added, map, of = json }: { map?: object; added?: object; of?: object } = {}) => {
  const files = { "tokenizer.json": of, "tokenizer_config.json": settings, "special_tokens_map.json": map }
  const all = Object.entries({ ...files, "added_tokens.json": added }).filter(([, value]) => value !== undefined)
  return codec(new Map(all.map(([name, value]) => [name, JSON.stringify(value)])), { vocab: 30, bos: null, eos: [] })
}
const ids = (text: string, ...how: Parameters<typeof open>) => [...open(...how).encodePrompt(text)]

describe("tokens beside tokenizer.json", () => {
  it("are tokens, wherever transformers reads them", () => {
    const text = "hi<|user|>"
    const split = [0, 1, 5, 6, 7, 8, 9, 10, 6, 11]
    const whole = [0, 1, 19]
    assert.deepStrictEqual(ids(text, {}), split)
    assert.deepStrictEqual(ids(text, { additional_special_tokens: ["<|user|>"] }), whole)
    assert.deepStrictEqual(ids(text, { extra_special_tokens: { user_token: "<|user|>" } }), whole)
    assert.deepStrictEqual(ids(text, { extra_special_tokens: ["<|user|>"] }), whole)
    assert.deepStrictEqual(ids(text, { eos_token: { ...token, content: "<|user|>" } }), whole)
    assert.deepStrictEqual(ids(text, {}, { map: { eos_token: "<|user|>" } }), whole)
    assert.deepStrictEqual(ids(text, {}, { added: { "<|user|>": 19 } }), whole)
    assert.deepStrictEqual(ids(text, { added_tokens_decoder: { 19: { ...token, content: "<|user|>" } } }), whole)
    // An id that is not that of the vocabulary does not count.
    assert.deepStrictEqual(ids(text, { added_tokens_decoder: { 3: { ...token, content: "<|user|>" } } }), whole)
  })

  it("have the next free id where the vocabulary does not have them", () => {
    assert.deepStrictEqual(ids("a<|new|>b", { additional_special_tokens: ["<|new|>"] }), [2, 20, 3])
    assert.deepStrictEqual(ids("zz<|user|>", {}, { added: { "<|user|>": 19, zz: 21 } }), [20, 19])
  })

  it("keep their flags, and are those of tokenizer.json where it has them", () => {
    const eos = { ...token, content: "</s>", lstrip: true }
    assert.deepStrictEqual(ids("hi  </s>", { eos_token: eos }), [0, 1, 18])
    const of = { ...json, added_tokens: [{ ...token, id: 18, content: "</s>" }] }
    assert.deepStrictEqual(ids("hi  </s>", { eos_token: eos }, { of }), [0, 1, 13, 13, 18])
  })

  it("are left out of decoded text, as special tokens are", () => {
    assert.strictEqual(open({ eos_token: "</s>" }).decode(Int32Array.of(0, 1, 18)), "hi")
  })

  it("are refused where special tokens are ordinary text, and so is a field that is not known", () => {
    assert.throws(() => open({ split_special_tokens: true }), /split_special_tokens is true: special tokens in a text/u)
    assert.throws(
      () => open({ reads_backwards: "yes" }),
      /reads_backwards is "yes", and Keel does not know this field/u
    )
    assert.doesNotThrow(() => open({ reads_backwards: false, image_token: "<image>", model_max_length: 1e30 }))
  })
})

it("Digits are all numeric characters of Unicode, as Rust has them", () => {
  const merged = { ...json.model, vocab: { ...vocab, " ½": 20, "44": 21, "½4": 22 }, merges: ["  ½", "4 4", "½ 4"] }
  const of = (individual_digits: boolean) => ({
    ...json,
    pre_tokenizer: { type: "Digits", individual_digits },
    model: merged
  })
  assert.deepStrictEqual(ids(" ½44", {}, { of: of(true) }), [13, 14, 15, 15])
  assert.deepStrictEqual(ids("a½44", {}, { of: of(false) }), [2, 14, 21])
  assert.deepStrictEqual(ids("a½4", {}, { of: of(false) }), [2, 22])
  assert.deepStrictEqual(ids("a½4", {}, { of: of(true) }), [2, 14, 15])
})
