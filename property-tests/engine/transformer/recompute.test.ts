import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Batch, Engine, Tensors } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { modelConfig } from "../../../src/model/config.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { counting } from "./counting.ts"
import { randomBatch, randomNumbers, randomWeights, revealing, training, variants } from "./tinyModels.ts"

const assertBits = (a: Tensors, b: Tensors): void => {
  for (const [name, { data }] of a) {
    assert.isTrue(data.every((x, i) => Object.is(x, b.get(name)!.data[i])), name)
  }
}

const batch = randomBatch([[2, 9], [5, 4], [1, 1], [3, 12]], "recompute")

/** Two updates of a policy and a scorer, with something else computed between forward and backward. */
const trained = (
  engine: Engine,
  raw: Readonly<Record<string, unknown>>,
  recompute: boolean
): ReadonlyArray<Tensors> => {
  const policy = engine.policy(randomWeights(raw, "r"), { recompute })
  const scorer = engine.scorer(randomWeights(raw, "r", "score"), { recompute })
  const all: Array<Tensors> = []
  for (const update of [revealing, training]) {
    const { logps } = policy.logprobs(batch, { retain: true })
    const { values } = scorer.values(batch, { retain: true })
    policy.logprobs(randomBatch([[4, 15]], "other"))
    policy.backward(randomNumbers(logps.length, "g"))
    scorer.backward(randomNumbers(values.length, "g"))
    policy.step(update)
    scorer.step(update)
    all.push(policy.optimizer().tensors, scorer.optimizer().tensors, policy.weights().tensors)
  }
  policy.dispose()
  scorer.dispose()
  return all
}

describe.each(kinds)("recomputing layers on %s", (kind) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await open(kind)
  })
  afterAll(() => backend.dispose())

  it.each(Object.entries(variants))("%s: the same gradients, bit for bit", (_, of) => {
    const { layer_types: _types, ...rest } = of
    const raw = { ...rest, num_hidden_layers: 4 }
    for (const microBatchTokens of [8192, 12]) {
      const engine = transformer(backend, { microBatchTokens })
      const [kept, again] = [trained(engine, raw, false), trained(engine, raw, true)]
      kept.forEach((tensors, i) => assertBits(again[i]!, tensors))
    }
    assert.strictEqual(backend.memory().live, 0)
  })
})

describe("recomputing layers", () => {
  const raw = { ...variants["Qwen3, QK-norm"]!, num_hidden_layers: 12, max_position_embeddings: 400 }
  const config = modelConfig(raw)
  const long: Batch = randomBatch([[10, 300], [1, 150]], "long")
  const rows = long.reduce((sum, { completion, prompt }) => sum + prompt.length + completion.length - 1, 0)

  const peakOf = (recompute: boolean) => {
    const { backend, counts } = counting(reference())
    const policy = transformer(backend).policy(randomWeights(raw, "peak"), { recompute })
    const weights = backend.memory().live
    policy.backward(policy.logprobs(long, { retain: true }).logps)
    const products = counts.products
    policy.step(training)
    // Parameters, gradient and two moments are the same in both.
    return { activations: backend.memory().peak - 4 * weights, products }
  }

  it("keeps one layer's activations and the inputs of all, for one more forward pass of all layers but the last", () => {
    const { activations: all, products } = peakOf(false)
    const { activations: inputs, products: more } = peakOf(true)
    const { dim, ffn, headDim, heads, kvHeads, layers } = config
    const qkv = (heads + 2 * kvHeads) * headDim
    // Elements a row that activations.ts lists for each layer, the raw qkv and the norms of QK-norm among them.
    const layer = dim + 2 + 2 * qkv + heads + kvHeads + heads * headDim + heads + 2 * ffn
    assert.isAtMost(inputs, all - 8 * rows * (layers - 1) * layer)
    assert.isAtMost(inputs, 0.4 * all)
    // A layer once more, without the product that ends it.
    assert.strictEqual(more - products, (layers - 1) * rows * dim * (qkv + heads * headDim + 2 * ffn))
  })

  it("is the engine's default where nothing is said, and the model's own where it is", () => {
    const peak = (engine: boolean | undefined, own: boolean | undefined): number => {
      const backend = reference()
      const options = engine === undefined ? {} : { recompute: engine }
      const policy = transformer(backend, options).policy(
        randomWeights(raw, "peak"),
        own === undefined ? {} : { recompute: own }
      )
      policy.logprobs(batch, { retain: true })
      return backend.memory().peak
    }
    const [kept, again] = [peak(undefined, undefined), peak(undefined, true)]
    assert.isBelow(again, kept)
    assert.strictEqual(peak(true, undefined), again)
    assert.strictEqual(peak(true, false), kept)
  })
})
