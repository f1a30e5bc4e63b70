import fc from "fast-check"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Batch, type MicroBatches, offsetsOf, type Tensors } from "../../../src/engine/engine.ts"
import { opening } from "../../../src/engine/microBatches.ts"
import { transformer, type TransformerEngine } from "../../../src/engine/transformer/transformer.ts"
import { policyGradient } from "../../../src/losses/policyGradient.ts"
import { PolicyGradient } from "../../../dsl/index.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { kinds, open } from "./backends.ts"
import {
  largestDifference,
  plainSampling,
  randomBatch,
  randomNumbers,
  randomWeights,
  revealing,
  variants
} from "./tinyModels.ts"

const tolerances = { reference: 1e-12, wasm: 2e-6, native: 2e-6 }
const lengths = fc.array(fc.tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 8 })), {
  minLength: 2,
  maxLength: 8
})
const raws = fc.constantFrom(...Object.values(variants))

const assertSame = (a: Tensors, b: Tensors, within: number): void => {
  for (const [name, { data }] of a) {
    if (!name.startsWith("exp_avg.")) continue
    const scale = Float64Array.from(data).reduce((most, x) => Math.max(most, Math.abs(x)), 1)
    assert.isAtMost(largestDifference(data, b.get(name)!.data) / scale, within, name)
  }
}

describe.each(kinds)("micro-batches on %s", (kind) => {
  let backend: Backend
  let engine: TransformerEngine
  beforeAll(async () => {
    backend = await open(kind)
    engine = transformer(backend)
  })
  afterAll(() => backend.dispose())

  /** Loss, metrics and gradients of a loss that needs all of the batch: its token mean, and a clipped share of all tokens. */
  const learnt = (raw: Readonly<Record<string, unknown>>, batch: Batch, computing: MicroBatches, teacher = false) => {
    const policy = engine.policy(randomWeights(raw, "p"), computing)
    const scorer = engine.scorer(randomWeights(raw, "v", "score"), computing)
    const other = engine.policy(randomWeights(raw, "t"), computing)
    try {
      const { logps } = policy.logprobs(batch, { retain: true })
      const old = randomNumbers(logps.length, "old").map((x, i) => logps[i]! + 0.2 * x)
      const loss = policyGradient(
        {
          logps,
          oldLogps: old,
          advantages: randomNumbers(logps.length, "a"),
          offsets: offsetsOf(batch),
          refLogps: old,
          samplerLogps: old,
          entropies: new Float64Array(logps.length)
        },
        PolicyGradient.dapo.loss,
        { beta: 0.1, maxLength: 8 }
      )
      policy.backward(loss.gradient)
      if (teacher) {
        const squares = (a: Float64Array, b: Float64Array, gradient: Float64Array | null): number => {
          if (gradient !== null) gradient.set(a.map((x, i) => x - b[i]!))
          return a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / 2
        }
        policy.backward(policy.divergences(batch, other, squares, { retain: true }).values)
      }
      const { values } = scorer.values(batch, { retain: true })
      scorer.backward(values.map((v) => v / values.length))
      policy.step(revealing)
      scorer.step(revealing)
      return { loss, values, policy: policy.optimizer().tensors, scorer: scorer.optimizer().tensors }
    } finally {
      for (const model of [policy, scorer, other]) model.dispose()
    }
  }

  it("change no gradient, loss or metric, whatever their size", () => {
    fc.assert(
      fc.property(raws, lengths, fc.string(), fc.integer({ min: 1, max: 40 }), (raw, of, seed, microBatchTokens) => {
        const batch = randomBatch([[1, 2], ...of], seed)
        const [whole, parts] = [learnt(raw, batch, {}, true), learnt(raw, batch, { microBatchTokens }, true)]
        const within = tolerances[kind]
        assert.isAtMost(Math.abs(whole.loss.loss - parts.loss.loss), within)
        for (const [name, value] of Object.entries(whole.loss.metrics)) {
          assert.isAtMost(Math.abs(value - parts.loss.metrics[name]!), within, name)
        }
        assert.isAtMost(largestDifference(whole.values, parts.values), within)
        assertSame(whole.policy, parts.policy, within)
        assertSame(whole.scorer, parts.scorer, within)
      }),
      { numRuns: 12 }
    )
    assert.strictEqual(backend.memory().live, 0)
  })

  it("complaint 29: eight rows accumulated one by one are a batch of eight", () => {
    const raw = variants["Llama, GQA, tied"]!
    // Of different lengths: a mean of means would differ.
    const batch = randomBatch([[2, 1], [3, 8], [1, 2], [5, 7], [2, 2], [4, 8], [1, 1], [2, 6]], "bs")
    assertSame(learnt(raw, batch, {}).policy, learnt(raw, batch, { microBatchTokens: 1 }).policy, tolerances[kind])
  })

  it("leave a batch that is one part as it is, bit for bit, and what is sampled whatever the slots", () => {
    const raw = variants["Qwen3, QK-norm"]!
    const batch = randomBatch([[3, 5], [2, 7], [4, 1]], "one")
    const [whole, parts] = [learnt(raw, batch, {}), learnt(raw, batch, { microBatchTokens: 22 })]
    for (const [name, { data }] of whole.policy) assert.deepStrictEqual(parts.policy.get(name)!.data, data, name)
    const prompts = randomBatch(Array.from({ length: 11 }, (_, i) => [1 + i % 4, 0] as const), "s").map(({ prompt }) =>
      prompt
    )
    const seeds = prompts.map((_, i) => `s${i}`)
    const sampled = (slots: number) => {
      const policy = opening(engine, { slots, microBatchTokens: 6 }).policy(randomWeights(raw, "p"))
      const before = backend.memory().live
      const answers = policy.sample(prompts, plainSampling, seeds)
      const held = backend.memory().live - before
      policy.dispose()
      return { answers, held }
    }
    const all = sampled(64)
    for (const slots of [1, 2, 5]) {
      const few = sampled(slots)
      assert.isBelow(few.held, all.held)
      few.answers.forEach(({ completion, logps }, i) => {
        assert.deepStrictEqual(completion, all.answers[i]!.completion)
        assert.isAtMost(largestDifference(logps, all.answers[i]!.logps), tolerances[kind])
      })
    }
  })
})
