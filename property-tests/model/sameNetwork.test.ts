/** Which models are of one kind, so that a merge of them means something. */
import { assert, describe, it } from "vitest"
import type { Weights } from "../../src/engine/engine.ts"
import { mismatches } from "../../src/model/sameNetwork.ts"

const model = (
  tensors: Readonly<Record<string, ReadonlyArray<number>>>,
  config: Weights["config"] = {},
  tokenizer = "{}"
): Weights => ({
  tensors: new Map(
    Object.entries(tensors).map((
      [name, shape]
    ) => [name, { shape, data: new Float32Array(shape.reduce((n, size) => n * size, 1)) }])
  ),
  config,
  tokenizer: new Map([["tokenizer.json", tokenizer]])
})
const whats = (a: Weights, b: Weights) => mismatches(a, b).map(({ what }) => what)

describe("mismatches", () => {
  it("a model is of its own kind, whatever its weights' origin says", () => {
    const of = model({ x: [2, 3] }, { hidden_size: 3, _name_or_path: "a", dtype: "float32" })
    assert.deepStrictEqual(mismatches(of, of), [])
    assert.deepStrictEqual(whats(of, model({ x: [2, 3] }, { hidden_size: 3, _name_or_path: "b", use_cache: true })), [])
  })

  it("tells each tensor that one lacks or that has another shape, even of as many axes or elements", () => {
    const a = model({ x: [2, 3], same: [4], mine: [1] })
    const b = model({ x: [3, 2], same: [4], yours: [1] })
    assert.deepStrictEqual(mismatches(a, b), [
      { what: "x", problem: "its shape is [2,3] and [3,2]" },
      { what: "mine", problem: "only the first has it" },
      { what: "yours", problem: "only the second has it" }
    ])
    assert.deepStrictEqual(whats(b, a).sort(), whats(a, b).sort())
  })

  it("tells each field of config.json that differs or that one lacks, and the part of the tokenizer", () => {
    const a = model({}, { size: 3, mine: null, of: { one: 1 } })
    const b = model({}, { size: 4, yours: [1], of: { one: 2 } }, JSON.stringify({ model: { vocab: { a: 0 } } }))
    assert.deepStrictEqual(mismatches(a, b), [
      { what: "config.json size", problem: "it is 3 and 4" },
      { what: "config.json of.one", problem: "it is 1 and 2" },
      { what: "config.json yours", problem: "it is absent and [1]" },
      { what: "tokenizer.json", problem: "vocab differ" }
    ])
  })

  it("compares the meaning of a configuration, not how a version of transformers writes it", () => {
    const five = {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 16,
      hidden_size: 8,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      max_position_embeddings: 16,
      rms_norm_eps: 1e-6,
      bos_token_id: 1,
      eos_token_id: 2,
      tie_word_embeddings: false,
      rope_parameters: { rope_type: "default", rope_theta: 10000 },
      dtype: "float32"
    }
    const { dtype: _, num_key_value_heads: _k, rope_parameters: _r, ...rest } = five
    const four = {
      ...rest,
      rope_theta: 10000,
      rope_scaling: null,
      attention_bias: false,
      eos_token_id: [2],
      pad_token_id: 0
    }
    assert.deepStrictEqual(whats(model({}, five), model({}, four)), [])
    assert.deepStrictEqual(whats(model({}, five), model({}, { ...four, rope_theta: 500000 })), [
      "config.json ropes.0.theta"
    ])
    assert.deepStrictEqual(whats(model({}, five), model({}, { ...four, attention_bias: true })), [
      "config.json qkvBias",
      "config.json outBias"
    ])
  })

  it("compares the meaning of a tokenizer, not how it is written", () => {
    const bpe = { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: [["a", "b"]] }
    const digits = { type: "Digits", individual_digits: true }
    const added = [{ id: 3, content: "<s>", special: true }, { id: 4, content: "</s>", special: true }]
    const one = { version: "1.0", added_tokens: added, pre_tokenizer: digits, normalizer: null, model: bpe }
    const two = {
      added_tokens: added.toReversed().map((token) => ({ ...token, lstrip: false })),
      pre_tokenizer: { type: "Sequence", pretokenizers: [digits] },
      truncation: null,
      model: { ...bpe, merges: ["a b"], dropout: null, fuse_unk: false, unk_token: null }
    }
    const of = (json: object) => model({}, {}, JSON.stringify(json))
    assert.deepStrictEqual(mismatches(of(one), of(two)), [])
    for (
      const [part, other] of Object.entries({
        merges: { ...two, model: { ...two.model, merges: [] } },
        fuse_unk: { ...two, model: { ...two.model, fuse_unk: true } },
        pre_tokenizer: { ...two, pre_tokenizer: { ...digits, individual_digits: false } },
        added_tokens: { ...two, added_tokens: added.slice(1) }
      })
    ) assert.deepStrictEqual(mismatches(of(one), of(other)).map(({ problem }) => problem), [`${part} differ`])
  })
})
