/** Packed sequences are the sequences one at a time, and cost what they cost: counted, not timed. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Batch, Policy, Scorer, Tensors } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { crossEntropy } from "../../../src/losses/crossEntropy.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { counting } from "./counting.ts"
import { largestDifference, randomBatch, randomNumbers, randomWeights, revealing, variants } from "./tinyModels.ts"

const context = 256
const longer = (raw: Readonly<Record<string, unknown>>) => ({ ...raw, max_position_embeddings: context })
/** From 2 tokens to the whole context. */
const batch = randomBatch([[1, 1], [3, 140], [200, 56], [1, 255], [7, 2], [64, 64], [2, 33]], "long")
const completionTokens = batch.reduce((sum, { completion }) => sum + completion.length, 0)

/** Mean cross-entropy over the whole batch and its gradient, the batch given in parts. */
const sft = (policy: Policy, parts: ReadonlyArray<Batch>): { readonly loss: number; readonly gradient: Tensors } => {
  let loss = 0
  for (const part of parts) {
    const { logps } = policy.logprobs(part, { retain: true })
    const share = logps.length / completionTokens
    const one = crossEntropy(logps)
    loss += share * one.loss
    policy.backward(one.gradient.map((g) => g * share))
  }
  policy.step(revealing)
  return { loss, gradient: policy.optimizer().tensors }
}

const valued = (scorer: Scorer, parts: ReadonlyArray<Batch>): Tensors => {
  const by = randomNumbers(completionTokens + batch.length, "values")
  let at = 0
  for (const part of parts) {
    const { values } = scorer.values(part, { retain: true })
    scorer.backward(by.slice(at, at + values.length))
    at += values.length
  }
  scorer.step(revealing)
  return scorer.optimizer().tensors
}

const assertClose = (a: Tensors, b: Tensors, tolerance: number): void => {
  for (const [name, { data }] of a) {
    const other = b.get(name)!.data
    const size = Math.max(...data.map(Math.abs))
    assert.isAtMost(largestDifference(data, other), tolerance * Math.max(1, size), name)
  }
}

describe.each(kinds)("training on %s", (kind) => {
  let backend: Backend
  const tolerance = kind === "reference" ? 1e-12 : 2e-5
  beforeAll(async () => {
    backend = await open(kind)
  })
  afterAll(() => backend.dispose())

  it.each(["Llama, GQA, tied", "Mistral, window 3", "Qwen3, QK-norm"])(
    "%s: a packed batch has the loss and gradient of its sequences one at a time",
    (name) => {
      const raw = longer(variants[name]!)
      const engine = transformer(backend)
      const weights = randomWeights(raw, name)
      const scores = randomWeights(raw, name, "score")
      const alone = batch.map((row) => [row])
      const packed = sft(engine.policy(weights), [batch])
      const single = sft(engine.policy(weights), alone)
      assert.isAtMost(Math.abs(packed.loss - single.loss), tolerance)
      assertClose(packed.gradient, single.gradient, tolerance)
      assertClose(valued(engine.scorer(scores), [batch]), valued(engine.scorer(scores), alone), tolerance)
    }
  )

  it("micro-batches smaller than the batch change neither loss nor gradient", () => {
    const weights = randomWeights(longer(variants["Llama, GQA, tied"]!), "micro")
    const whole = sft(transformer(backend).policy(weights), [batch])
    for (const microBatchTokens of [1, 100, 300, 500]) {
      const cut = sft(transformer(backend, { microBatchTokens }).policy(weights), [batch])
      assert.isAtMost(Math.abs(cut.loss - whole.loss), tolerance)
      assertClose(cut.gradient, whole.gradient, tolerance)
    }
  })
})

describe("cost", () => {
  const base = longer(variants["Llama, GQA, tied"]!)
  /** What one training step is asked to compute. */
  const costOf = (rows: Batch, layers = 2, microBatchTokens?: number) => {
    const { backend, counts } = counting(reference())
    const options = microBatchTokens === undefined ? {} : { microBatchTokens }
    const policy = transformer(backend, options).policy(randomWeights({ ...base, num_hidden_layers: layers }, "cost"))
    policy.backward(policy.logprobs(rows, { retain: true }).logps)
    return { ...counts, peak: backend.memory().peak }
  }
  const times = (count: number, length: number): Batch =>
    randomBatch(Array.from({ length: count }, () => [1, length] as const), "cost")

  it("per token is flat in the batch", () => {
    const one = costOf(times(1, 20))
    for (const count of [2, 7, 12]) {
      const many = costOf(times(count, 20))
      assert.strictEqual(many.products, count * one.products)
      assert.strictEqual(many.pairs, count * one.pairs)
      assert.strictEqual(many.backwardPairs, count * one.backwardPairs)
    }
  })

  it("is that of the tokens: 6 multiply-adds a weight and token, whatever the lengths", () => {
    const lengths = batch.map(({ completion, prompt }) => prompt.length + completion.length - 1)
    const tokens = lengths.reduce((sum, length) => sum + length, 0)
    const layer = 8 * 32 + 16 * 8 + 8 * 20 + 10 * 8
    // Forward, gradient of the input, gradient of the weight; the head, at completion tokens only, has its logits twice.
    const products = 3 * 2 * layer * tokens + 4 * 8 * 13 * completionTokens
    const { backwardPairs, pairs, products: counted } = costOf(batch)
    assert.strictEqual(counted, products)
    const triangles = lengths.reduce((sum, length) => sum + length * (length + 1) / 2, 0)
    assert.deepStrictEqual([pairs, backwardPairs], [2 * triangles, 2 * triangles])
  })

  it("is linear in layers", () => {
    const [one, two, five] = [1, 2, 5].map((layers) => costOf(times(3, 20), layers))
    assert.strictEqual(five!.products - one!.products, 4 * (two!.products - one!.products))
    assert.strictEqual(five!.pairs, 5 * one!.pairs)
  })

  it("is quadratic in length only in attention", () => {
    const [short, long] = [costOf(times(1, 30)), costOf(times(1, 240))]
    assert.strictEqual(long.products, 8 * short.products)
    assert.strictEqual(long.pairs / short.pairs, (240 * 241) / (30 * 31))
  })

  it("of a batch cut into micro-batches is one more forward pass of all but the last, in the memory of one", () => {
    const rows = times(8, 30)
    const [whole, cut, single] = [costOf(rows), costOf(rows, 2, 30), costOf(rows.slice(0, 1))]
    const forward = 2 * (8 * 32 + 16 * 8 + 8 * 20 + 10 * 8) * 30 + 8 * 13 * 30
    assert.strictEqual(cut.products - whole.products, 7 * forward)
    assert.isBelow(cut.peak, 1.5 * single.peak)
    assert.isAbove(whole.peak, 3 * single.peak)
  })
})
