import { assert, describe, it } from "vitest"
import { BadCheckpoint } from "../../src/model/BadCheckpoint.ts"
import { modelConfig, parseConfig, supported, withHead } from "../../src/model/config.ts"
import { initial } from "../../src/model/init.ts"
import { elements, parameters } from "../../src/model/parameters.ts"
import { tiny } from "./shared.ts"

const problemOf = (raw: Readonly<Record<string, unknown>>): string => {
  try {
    modelConfig(raw, "some/config.json")
  } catch (error) {
    assert.instanceOf(error, BadCheckpoint)
    assert.strictEqual(error.path, "some/config.json")
    return error.problem
  }
  return assert.fail(`accepted ${JSON.stringify(raw)}`)
}

const without = (raw: Readonly<Record<string, unknown>>, ...keys: ReadonlyArray<string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(raw).filter(([key]) => !keys.includes(key)))

describe("config.json", () => {
  it("reads every family", () => {
    const of = (family: string, change = {}) => modelConfig(tiny(family, change))
    const llama = of("llama", { attention_bias: true, mlp_bias: true })
    assert.deepInclude(llama, {
      qkvBias: true,
      outBias: true,
      mlpBias: true,
      qkNorm: false,
      headDim: 4,
      kvHeads: 2
    })
    assert.deepInclude(of("qwen2"), { qkvBias: true, outBias: false, mlpBias: false, qkNorm: false })
    assert.deepInclude(of("qwen3"), { qkvBias: false, outBias: false, qkNorm: "heads" })
    assert.deepInclude(of("qwen3", { attention_bias: true }), { qkvBias: true, outBias: true })
    assert.deepInclude(of("mistral", { attention_bias: true }), { qkvBias: false, outBias: false, qkNorm: false })
  })

  it("fills in what transformers fills in", () => {
    const bare = modelConfig(
      without(tiny("llama"), "head_dim", "num_key_value_heads", "max_position_embeddings", "bos_token_id")
    )
    assert.deepInclude(bare, { headDim: 2, kvHeads: 4, context: 2048, bos: 1, eos: [2], tied: false })
    assert.strictEqual(bare.norm.eps, 1e-6)
    assert.deepEqual(bare.ropes, [{ type: "default", theta: 10000, dim: 2 }])
    assert.strictEqual(modelConfig(tiny("qwen2", { num_key_value_heads: null })).kvHeads, 4)
    assert.deepEqual(modelConfig(tiny("llama", { bos_token_id: null, eos_token_id: null })).eos, [])
    assert.strictEqual(modelConfig(without(tiny("qwen3", { num_attention_heads: 4 }), "head_dim")).headDim, 128)
    assert.isNull(modelConfig(tiny("llama", { pad_token_id: -1 })).pad)
  })

  it("keeps a list of end tokens and the object as it was", () => {
    const raw = tiny("llama", { eos_token_id: [2, 3], keel_something_new: { deep: [1] } })
    const config = modelConfig(raw)
    assert.deepEqual(config.eos, [2, 3])
    assert.strictEqual(config.raw, raw)
  })

  it("reads both ways of writing rotary parameters alike", () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 16 }
    const old = modelConfig(tiny("llama", { rope_theta: 5e5, rope_scaling: { type: "llama3", ...llama3 } })).ropes
    const now =
      modelConfig(tiny("llama", { rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } })).ropes
    assert.deepEqual(old, now)
    const read = {
      type: "llama3",
      theta: 5e5,
      dim: 4,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalContext: 16
    } as const
    assert.deepEqual(now, [read])
  })

  it("knows which models have a sliding window", () => {
    const windows = (family: string, change: Readonly<Record<string, unknown>>): ReadonlyArray<number> =>
      modelConfig(tiny(family, change)).blocks.map(({ attention }) => attention.window)
    const window = (family: string, change: Readonly<Record<string, unknown>>): number => {
      const all = new Set(windows(family, change))
      assert.strictEqual(all.size, 1)
      return [...all][0]!
    }
    assert.strictEqual(window("mistral", { sliding_window: 8 }), 8)
    assert.strictEqual(window("mistral", { sliding_window: null }), 0)
    assert.strictEqual(window("mistral", {}), 0, "4096 is more than the context")
    assert.strictEqual(window("mistral", { max_position_embeddings: 8192 }), 4096)
    assert.strictEqual(window("llama", { sliding_window: 8 }), 0)
    for (const family of ["qwen2", "qwen3"]) {
      assert.strictEqual(window(family, { sliding_window: 8 }), 0)
      assert.strictEqual(
        window(family, { sliding_window: 8, use_sliding_window: true }),
        0,
        "28 full layers come first"
      )
      assert.strictEqual(window(family, { sliding_window: 8, use_sliding_window: true, max_window_layers: 0 }), 8)
      const types = (a: string, b: string) => ({ sliding_window: 8, use_sliding_window: true, layer_types: [a, b] })
      assert.strictEqual(window(family, types("sliding_attention", "sliding_attention")), 8)
      assert.strictEqual(window(family, types("full_attention", "full_attention")), 0)
      const mixed = tiny(family, types("full_attention", "sliding_attention"))
      assert.deepEqual(windows(family, types("full_attention", "sliding_attention")), [0, 8])
      assert.strictEqual(window(family, { ...types("full_attention", "sliding_attention"), sliding_window: 32 }), 0)
      assert.match(problemOf({ ...mixed, layer_types: ["chunked_attention", "full_attention"] }), /chunked_attention/)
      const late = { use_sliding_window: true, sliding_window: 8, max_window_layers: 1 }
      assert.deepEqual(windows(family, late), [0, 8])
    }
  })

  it("has the windows and rotations of layers that a file does not name", () => {
    const layers = (model_type: string, change = {}) => {
      const { architectures: _, ...raw } = tiny("llama", {
        num_hidden_layers: 8,
        sliding_window: 4,
        model_type,
        ...change
      })
      return modelConfig(raw).blocks.map(({ attention: { rope, window } }) => [window, rope])
    }
    const every = (n: number, full: unknown, other: unknown) =>
      Array.from({ length: 8 }, (_, i) => (i + 1) % n === 0 ? full : other)
    assert.deepEqual(layers("olmo3"), every(4, [0, 0], [4, 1]))
    assert.deepEqual(layers("gemma2"), every(2, [0, 0], [4, 0]))
    assert.deepEqual(layers("gemma3_text"), every(6, [0, 0], [4, 1]))
    assert.deepEqual(layers("cohere2"), every(4, [0, null], [4, 0]))
    assert.deepEqual(layers("smollm3"), every(4, [0, null], [0, 0]))
  })

  it("reads published files, whose fields of no effect are many", () => {
    const smol = {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      attention_dropout: 0,
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: "silu",
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: 8192,
      is_llama_config: true,
      max_position_embeddings: 8192,
      mlp_bias: false,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 24,
      num_key_value_heads: 32,
      pad_token_id: 2,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_scaling: null,
      rope_theta: 130_000,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      "transformers.js_config": { kv_cache_dtype: { q4f16: "float16" } },
      transformers_version: "4.42.3",
      use_cache: true,
      vocab_size: 49_152
    }
    assert.deepInclude(modelConfig(smol), { dim: 2048, layers: 24, tied: true })
    const qwen = {
      architectures: ["Qwen3MoeForCausalLM"],
      attention_bias: false,
      attention_dropout: 0,
      bos_token_id: 151_643,
      decoder_sparse_step: 1,
      eos_token_id: 151_645,
      head_dim: 128,
      hidden_act: "silu",
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: 6144,
      max_position_embeddings: 40_960,
      max_window_layers: 48,
      mlp_only_layers: [],
      model_type: "qwen3_moe",
      moe_intermediate_size: 768,
      norm_topk_prob: true,
      num_attention_heads: 32,
      num_experts: 128,
      num_experts_per_tok: 8,
      num_hidden_layers: 48,
      num_key_value_heads: 4,
      output_router_logits: false,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1_000_000,
      router_aux_loss_coef: 0.001,
      sliding_window: null,
      tie_word_embeddings: false,
      torch_dtype: "bfloat16",
      transformers_version: "4.51.0",
      use_cache: true,
      use_sliding_window: false,
      vocab_size: 151_936
    }
    assert.deepInclude(modelConfig(qwen).blocks[0]!.mlp, { form: "routed", experts: 128, active: 8, ffn: 768 })
    // Interleaved rotations would be another network.
    assert.match(problemOf({ ...smol, rope_interleaved: true }), /rope_interleaved true is not a field/)
  })

  it("refuses what it cannot do, by name", () => {
    const cases: ReadonlyArray<readonly [Readonly<Record<string, unknown>>, RegExp]> = [
      [{ model_type: "bloom" }, /model_type "bloom" is not supported/],
      [{}, /model_type missing/],
      [
        tiny("llama", { architectures: ["LlamaForTokenClassification"] }),
        /"LlamaForTokenClassification" is not supported/
      ],
      [tiny("llama", { architectures: ["MistralForCausalLM"] }), /only LlamaForCausalLM/],
      [tiny("llama", { architectures: ["LlamaForSequenceClassification"] }), /2 labels/],
      [tiny("llama", { hidden_act: "relu" }), /hidden_act relu/],
      [tiny("llama", { something_new: 1 }), /something_new 1 is not a field of model_type llama that is known/],
      [tiny("llama", { num_key_value_heads: 3 }), /not a multiple/],
      [tiny("llama", { head_dim: 3 }), /odd/],
      [without(tiny("llama", { hidden_size: 9 }), "head_dim"), /head_dim is missing/],
      [tiny("llama", { num_hidden_layers: 1e9 }), /num_hidden_layers must be a whole number from 1 to 10000/],
      [tiny("llama", { eos_token_id: 11 }), /eos_token_id 11 is not a token id below vocab_size 11/],
      [tiny("llama", { rms_norm_eps: 0 }), /rms_norm_eps/],
      [tiny("llama", { tie_word_embeddings: "yes" }), /tie_word_embeddings must be true or false, not "yes"/],
      [tiny("llama", { quantization_config: { bits: 4 } }), /quantized/],
      [tiny("llama", { partial_rotary_factor: 0.3 }), /partial_rotary_factor 0.3/],
      [tiny("llama", { rope_scaling: { type: "fresh" } }), /"fresh" is not supported, only default, linear/],
      [tiny("llama", { rope_scaling: { type: "longrope" } }), /short_factor of the rope scaling must be 2 positive/],
      [tiny("llama", { rope_scaling: { type: "linear" } }), /factor is missing/],
      [tiny("llama", { rope_scaling: { type: "linear", factor: -1 } }), /factor of the rope scaling must be positive/],
      [tiny("qwen2", { rope_parameters: { full_attention: { rope_type: "default" } } }), /differ between layer types/]
    ]
    for (const [raw, expected] of cases) assert.match(problemOf(raw), expected)
  })

  it("says what is supported and everything that is wrong at once", () => {
    assert.throws(() => modelConfig({ model_type: "bloom" }), /llama, mistral, qwen2, qwen3/)
    for (const name of supported) assert.throws(() => modelConfig({ model_type: "bloom" }), name)
    const problem = problemOf(
      tiny("llama", { hidden_size: 0, vocab_size: "many", hidden_act: "relu", num_key_value_heads: 3 })
    )
    for (const part of [/hidden_size/, /vocab_size/, /hidden_act relu/, /not a multiple/]) assert.match(problem, part)
  })

  it("refuses text that is no JSON object", () => {
    for (const text of ["", "[]", "null", "{"]) assert.throws(() => parseConfig(text, "p"), BadCheckpoint)
    assert.deepEqual(parseConfig('{"a":1}'), { a: 1 })
  })

  it("changes the head and back", () => {
    for (const family of ["llama", "mistral", "qwen2", "qwen3"]) {
      const raw = tiny(family)
      const scored = withHead(raw, "score")
      assert.strictEqual(modelConfig(scored).head, "score")
      assert.strictEqual(modelConfig(withHead(scored, "lm")).head, "lm")
      assert.deepEqual(withHead(withHead(scored, "lm"), "score"), scored)
    }
  })
})

describe("parameters", () => {
  const config = modelConfig(tiny("qwen3", { attention_bias: true }))
  const names = (of: typeof config, head: "lm" | "score"): ReadonlyArray<string> =>
    parameters(of, head).map(({ name }) => name)

  it("stand in the order of the flat buffer", () => {
    const layer = "model.layers.0"
    assert.deepEqual(names({ ...config, layers: 1, mlpBias: true }, "lm"), [
      "model.embed_tokens.weight",
      `${layer}.input_layernorm.weight`,
      `${layer}.self_attn.q_proj.weight`,
      `${layer}.self_attn.k_proj.weight`,
      `${layer}.self_attn.v_proj.weight`,
      `${layer}.self_attn.q_proj.bias`,
      `${layer}.self_attn.k_proj.bias`,
      `${layer}.self_attn.v_proj.bias`,
      `${layer}.self_attn.q_norm.weight`,
      `${layer}.self_attn.k_norm.weight`,
      `${layer}.self_attn.o_proj.weight`,
      `${layer}.self_attn.o_proj.bias`,
      `${layer}.post_attention_layernorm.weight`,
      `${layer}.mlp.gate_proj.weight`,
      `${layer}.mlp.up_proj.weight`,
      `${layer}.mlp.gate_proj.bias`,
      `${layer}.mlp.up_proj.bias`,
      `${layer}.mlp.down_proj.weight`,
      `${layer}.mlp.down_proj.bias`,
      "model.norm.weight",
      "lm_head.weight"
    ])
  })

  it("end with the head that there is", () => {
    assert.strictEqual(names({ ...config, tied: true }, "lm").at(-1), "model.norm.weight")
    assert.deepEqual(parameters(config, "score").at(-1), { name: "score.weight", shape: [1, 8] })
    assert.strictEqual(names({ ...config, tied: true }, "score").at(-1), "score.weight")
  })

  it("start with the distribution they should", () => {
    const large = modelConfig(
      tiny("llama", { hidden_size: 64, intermediate_size: 96, vocab_size: 300, attention_bias: true })
    )
    const weights = initial(large, "seed")
    assert.deepEqual([...weights.keys()], parameters(large, "lm").map(({ name }) => name))
    for (const [name, { data: real, shape }] of weights) {
      const data = Array.from(real)
      assert.strictEqual(data.length, elements(shape))
      const mean = data.reduce((a, b) => a + b, 0) / data.length
      const spread = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length)
      if (name.endsWith("norm.weight")) assert.isTrue(data.every((x) => x === 1))
      else if (name.endsWith("bias")) assert.isTrue(data.every((x) => x === 0))
      else {
        const expected = /(o|down)_proj/.test(name) ? 0.02 / Math.sqrt(4) : 0.02
        assert.isBelow(Math.abs(mean), (5 * expected) / Math.sqrt(data.length), name)
        assert.isBelow(Math.abs(spread / expected - 1), 5 / Math.sqrt(2 * data.length), name)
      }
    }
    assert.deepEqual(initial(large, "seed"), weights)
    assert.notDeepEqual(initial(large, "other"), weights)
    const score = initial(modelConfig(withHead(tiny("llama"), "score")), "seed").get("score.weight")!
    assert.isTrue(score.data.every((x) => x === 0))
  })
})
