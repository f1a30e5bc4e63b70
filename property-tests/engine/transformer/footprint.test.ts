import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Batch, Engine, Policy, Scorer } from "../../../src/engine/engine.ts"
import { footprint, type Open, type Work } from "../../../src/engine/transformer/footprint.ts"
import { transformer, type TransformerOptions } from "../../../src/engine/transformer/transformer.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { wasm } from "../../../src/tensor/wasm/wasm.ts"
import { plainSampling, randomBatch, randomWeights, training, variants } from "./tinyModels.ts"

/** Does the work for real and gives the most memory that it took. */
const really = (engine: Engine, models: ReadonlyArray<Open>, work: ReadonlyArray<Work>): number => {
  const opened = new Map(models.map(({ computing, config, kind, name }) => {
    const weights = randomWeights(config, name, kind === "policy" ? "lm" : "score")
    return [name, kind === "policy" ? engine.policy(weights, computing) : engine.scorer(weights, computing)]
  }))
  for (const doing of work) {
    const model = opened.get(doing.model)!
    const score = (rows: Batch, retain: boolean): number =>
      "sample" in model
        ? (model as Policy).logprobs(rows, { retain }).logps.length
        : (model as Scorer).values(rows, { retain }).values.length
    switch (doing.verb) {
      case "sample": {
        const { maxNewTokens, prompts } = doing
        const sampling = { ...plainSampling, maxNewTokens, stop: [] }
        ;(model as Policy).sample(prompts, sampling, prompts.map((_, i) => String(i)))
        break
      }
      case "score":
        score(doing.rows, false)
        break
      case "train":
        model.backward(new Float64Array(score(doing.rows, true)).fill(0.1))
        model.step(training)
    }
  }
  const { peak } = engine.memory!()
  for (const model of opened.values()) model.dispose()
  return peak
}

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
  variant: fc.constantFrom(...Object.values(variants)),
  layers: fc.integer({ min: 1, max: 3 }),
  ffn: fc.integer({ min: 1, max: 40 }),
  recompute: fc.boolean(),
  targetModules: fc.option(fc.constantFrom(["q_proj", "v_proj"], ["k_proj", "o_proj", "gate_proj"], ["down_proj"])),
  microBatchTokens: fc.constantFrom(8, 20, 8192),
  work: fc.array(works, { maxLength: 5 })
}).map(({ ffn, layers, recompute, targetModules, variant, ...rest }) => {
  const config = { ...variant, num_hidden_layers: layers, intermediate_size: ffn }
  const lora = targetModules === null ? {} : { lora: { rank: 1, alpha: 2, targetModules, seed: "footprint" } }
  const computing = { recompute, ...lora }
  const models: ReadonlyArray<Open> = [
    { name: "policy", kind: "policy", config, computing },
    { name: "scorer", kind: "scorer", config, computing }
  ]
  return { models, ...rest }
})

describe("the footprint", () => {
  it("is the memory that the same work takes on the reference backend: to the byte, but for integers of sampling", () => {
    fc.assert(
      fc.property(cases, ({ microBatchTokens, models, work }) => {
        const options: TransformerOptions = { microBatchTokens }
        const taken = really(transformer(reference(), options), models, work)
        const counted = footprint(models, work, { ...options, realBytes: 8, alignment: 1 })
        // Which numbers of rows are continued, each with integers of its own, depends on when they end.
        const differ = work.some(({ verb }) => verb === "sample") ? 0.01 * taken : 0
        assert.isAtMost(Math.abs(counted.bytes - taken), differ, `${counted.bytes} ${taken}`)
      }),
      { numRuns: 150 }
    )
  })

  it("says what it is made of, and grows with the work", () => {
    fc.assert(
      fc.property(cases, ({ models, work }) => {
        const { bytes, phases, terms } = footprint(models, work)
        assert.strictEqual(terms.reduce((sum, term) => sum + term.bytes, 0), bytes)
        assert.deepStrictEqual(phases.map(({ phase }) => phase), ["open", ...work.map(({ verb }) => verb)])
        assert.deepStrictEqual(
          phases.map(({ bytes }) => bytes),
          phases.map(({ bytes }) => bytes).toSorted((a, b) => a - b)
        )
        assert.strictEqual(phases.at(-1)!.bytes, bytes)
        if (work.some(({ verb }) => verb === "train")) {
          assert.isTrue(terms.some(({ what }) => what === "gradients and AdamW moments"))
        }
      }),
      { numRuns: 50 }
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
    const models: ReadonlyArray<Open> = [{ name: "policy", kind: "policy", config }]
    const rows = randomBatch(Array.from({ length: 8 }, (_, i) => [20 + i, 40 - i] as const), "rows")
    const work: ReadonlyArray<Work> = [
      { verb: "sample", model: "policy", prompts: rows.map(({ prompt }) => prompt), maxNewTokens: 30 },
      { verb: "train", model: "policy", rows }
    ]
    const backend = await wasm({ threads: 2 })
    const taken = really(transformer(backend), models, work)
    backend.dispose()
    const { bytes } = footprint(models, work)
    assert.isAtMost(Math.abs(bytes - taken) / taken, 0.05, `${bytes} ${taken}`)
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
    const { bytes, terms } = footprint([{ name: "policy", kind: "policy", config }], [
      { verb: "train", model: "policy", rows }
    ])
    // Llama 3 70B: 70.55 G parameters of 4 bytes, four of each.
    assert.strictEqual(terms[0]!.what, "gradients and AdamW moments")
    assert.closeTo(terms[0]!.bytes, 3 * 4 * 70_553_706_496, 64)
    assert.closeTo(terms.find(({ what }) => what === "weights of policy")!.bytes, 4 * 70_553_706_496, 64)
    assert.isAbove(bytes, 16 * 70_553_706_496)
  })
})
