/** What the backend that counts says of memory is what the same work takes. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Batch, Computing, Engine, Policy, Scorer, Weights } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { withoutWeights } from "../../src/planning/countedEngine.ts"
import { counting } from "../../src/tensor/counting/backend.ts"
import { reference } from "../../src/tensor/reference.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"
import { plainSampling, randomBatch, randomWeights, training, variants } from "../engine/transformer/tinyModels.ts"

/** A model that is open while the work is done, all of them together. */
interface Open {
  readonly name: "policy" | "scorer"
  readonly config: Weights["config"]
  readonly computing?: Computing
}
type Work =
  | {
    readonly verb: "sample"
    readonly model: string
    readonly prompts: ReadonlyArray<Int32Array>
    readonly maxNewTokens: number
  }
  | { readonly verb: "score" | "train"; readonly model: string; readonly rows: Batch }

/** Does the work and gives the most memory that it took. */
const taken = (
  engine: Engine,
  models: ReadonlyArray<Open>,
  work: ReadonlyArray<Work>,
  weightsOf: (model: Open) => Weights
): number => {
  const opened = new Map<string, Policy | Scorer>(models.map((model) => {
    const { computing, name } = model
    const weights = weightsOf(model)
    return [name, name === "policy" ? engine.policy(weights, computing) : engine.scorer(weights, computing)]
  }))
  for (const doing of work) {
    const model = opened.get(doing.model)!
    if (doing.verb === "sample") {
      const { maxNewTokens, prompts } = doing
      const sampling = { ...plainSampling, maxNewTokens, stop: [] }
      ;(model as Policy).sample(prompts, sampling, prompts.map((_, i) => String(i)))
      continue
    }
    const retain = doing.verb === "train"
    const { length } = "sample" in model
      ? model.logprobs(doing.rows, { retain }).logps
      : model.values(doing.rows, { retain }).values
    if (!retain) continue
    model.backward(new Float64Array(length).fill(0.1))
    model.step(training)
  }
  const { peak } = engine.memory!()
  for (const model of opened.values()) model.dispose()
  return peak
}
const drawn = ({ config, name }: Open): Weights => randomWeights(config, name, name === "policy" ? "lm" : "score")
const unread = ({ config }: Open): Weights => withoutWeights(config)

const lengths = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), {
  minLength: 1,
  maxLength: 6
})
const named = <A>(arbitrary: (name: string) => fc.Arbitrary<A>) => fc.constantFrom("policy", "scorer").chain(arbitrary)
const works: fc.Arbitrary<Work> = fc.oneof(
  fc.record({
    verb: fc.constant("sample" as const),
    model: fc.constant("policy"),
    prompts: lengths.map((lengths) => randomBatch(lengths, "prompts").map(({ prompt }) => prompt)),
    maxNewTokens: fc.integer({ min: 1, max: 6 })
  }),
  named((model) =>
    fc.record({
      verb: fc.constantFrom("score" as const, "train" as const),
      model: fc.constant(model),
      rows: lengths.map((lengths) => randomBatch(lengths, "rows"))
    })
  )
)

/** A model of any kind and size, a policy and a scorer of it, and some work for them. */
const cases = fc.record({
  variant: fc.constantFrom(...Object.values(variants).filter((raw) => !("num_experts_per_tok" in raw))),
  layers: fc.integer({ min: 1, max: 3 }),
  ffn: fc.integer({ min: 1, max: 40 }),
  recompute: fc.boolean(),
  targetModules: fc.option(fc.constantFrom(["q_proj", "v_proj"], ["k_proj", "o_proj", "gate_proj"], ["down_proj"])),
  microBatchTokens: fc.constantFrom(8, 20, 8192),
  work: fc.array(works, { maxLength: 5 })
}).map(({ ffn, layers, recompute, targetModules: modules, variant, ...rest }) => {
  // Parts of a fused matrix are adapted together or not at all.
  const targetModules = ["phi3", "gpt2", "gpt_neox"].includes(String(variant["model_type"])) ? null : modules
  const types = variant["layer_types"]
  const config = {
    ...variant,
    num_hidden_layers: layers,
    ["n_inner" in variant ? "n_inner" : "intermediate_size"]: ffn,
    ...(Array.isArray(types)
      ? { layer_types: Array.from({ length: layers }, (_, l): unknown => types[l % types.length]) }
      : {})
  }
  const lora = targetModules === null ? {} : { lora: { rank: 1, alpha: 2, targetModules, seed: "memory" } }
  const computing = { recompute, ...lora }
  const models: ReadonlyArray<Open> = [
    { name: "policy", config, computing },
    { name: "scorer", config, computing }
  ]
  return { models, ...rest }
})

describe("counted memory", () => {
  it("is the memory that the same work takes on the reference backend, to the byte", () => {
    fc.assert(
      fc.property(cases, ({ microBatchTokens, models, work }) => {
        const really = taken(transformer(reference(), { microBatchTokens }), models, work, drawn)
        const backend = counting({ realBytes: 8, alignment: 1 })
        assert.strictEqual(taken(transformer(backend, { microBatchTokens }), models, work, unread), really)
      }),
      { numRuns: 150 }
    )
  })

  it("is within 5 % of what wasm holds, on a model that is not tiny", async () => {
    const config = {
      ...variants["Llama, GQA, tied"],
      vocab_size: 512,
      hidden_size: 64,
      intermediate_size: 172,
      num_hidden_layers: 3,
      head_dim: 16,
      max_position_embeddings: 128
    }
    const models: ReadonlyArray<Open> = [{ name: "policy", config }]
    const rows = randomBatch(Array.from({ length: 8 }, (_, i) => [20 + i, 40 - i] as const), "rows")
    const work: ReadonlyArray<Work> = [
      { verb: "sample", model: "policy", prompts: rows.map(({ prompt }) => prompt), maxNewTokens: 30 },
      { verb: "train", model: "policy", rows }
    ]
    const backend = await wasm({ threads: 2 })
    const really = taken(transformer(backend), models, work, drawn)
    backend.dispose()
    const bytes = taken(transformer(counting()), models, work, unread)
    assert.isAtMost(Math.abs(bytes - really) / really, 0.05, `${bytes} ${really}`)
  })

  it("of a model far larger than this machine is known without making it", () => {
    const config = {
      ...variants["Llama, GQA, tied"],
      vocab_size: 128256,
      hidden_size: 8192,
      intermediate_size: 28672,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      num_key_value_heads: 8,
      head_dim: 128,
      max_position_embeddings: 8192,
      tie_word_embeddings: false
    }
    const rows = [{ prompt: new Int32Array(500), completion: new Int32Array(500) }]
    const backend = counting()
    const bytes = backend.during(
      "update",
      () =>
        taken(transformer(backend), [{ name: "policy", config }], [{ verb: "train", model: "policy", rows }], unread)
    )
    const { terms } = backend.peaks().get("update")!
    // Llama 3 70B: 70.55 G parameters of 4 bytes, four of each.
    const parameters = 4 * 70_553_706_496
    assert.closeTo(terms.get("weights")!, parameters, 64)
    assert.closeTo(terms.get("gradients")!, parameters, 64)
    assert.closeTo(terms.get("optimizer")!, 2 * parameters, 64)
    assert.strictEqual([...terms.values()].reduce((sum, term) => sum + term, 0), bytes)
    assert.isAbove(bytes, 4 * parameters)
  })
})
