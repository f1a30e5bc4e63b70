import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Batch, Policy, Scorer, Tensors } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { native } from "../../../src/tensor/native/native.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { wasm } from "../../../src/tensor/wasm/wasm.ts"
import {
  largestDifference,
  plainSampling,
  randomBatch,
  randomNumbers,
  randomWeights,
  revealing,
  variants
} from "./tinyModels.ts"

const engine = transformer(reference())
const backends = {
  reference: () => Promise.resolve(reference()),
  wasm: () => wasm({ threads: 2 }),
  native: () => native({ threads: 2 })
}
const wide = { hidden_size: 64, intermediate_size: 96, head_dim: 16 }
const rounding = 1e-12

const lengths = fc.array(fc.tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 8 })), {
  minLength: 1,
  maxLength: 6
})

const policyGradients = (policy: Policy, batch: Batch): Tensors => {
  policy.backward(randomNumbers(policy.logprobs(batch, { retain: true }).logps.length, "g"))
  policy.step(revealing)
  return policy.optimizer().tensors
}

const scorerGradients = (scorer: Scorer, batch: Batch): Tensors => {
  scorer.backward(randomNumbers(scorer.values(batch, { retain: true }).values.length, "g"))
  scorer.step(revealing)
  return scorer.optimizer().tensors
}

/** Of gradients: the second moments beside them are half their squares, thousands of times as large. */
const assertSame = (a: Tensors, b: Tensors): void => {
  const gradients = [...a].filter(([name]) => name.startsWith("exp_avg."))
  assert.strictEqual(gradients.length, a.size / 2)
  for (const [name, { data }] of gradients) {
    assert.isAtMost(largestDifference(data, b.get(name)!.data), rounding, name)
  }
}

describe.each(Object.entries(variants))("%s", (name, raw) => {
  const policy = engine.policy(randomWeights(raw, name))
  const scorer = engine.scorer(randomWeights(raw, name, "score"))

  it("invariant 32: a batch equals its rows one at a time", () => {
    fc.assert(
      fc.property(lengths, fc.string(), (of, seed) => {
        const batch = randomBatch(of, seed)
        const { entropies, logps, offsets } = policy.logprobs(batch)
        const { offsets: valueOffsets, values } = scorer.values(batch)
        batch.forEach((row, i) => {
          const alone = policy.logprobs([row])
          assert.strictEqual(offsets[i + 1]! - offsets[i]!, row.completion.length)
          assert.isAtMost(largestDifference(alone.logps, logps.subarray(offsets[i], offsets[i + 1])), rounding)
          assert.isAtMost(largestDifference(alone.entropies, entropies.subarray(offsets[i], offsets[i + 1])), rounding)
          const score = values.subarray(valueOffsets[i], valueOffsets[i + 1])
          assert.strictEqual(score.length, row.completion.length + 1)
          assert.isAtMost(largestDifference(scorer.values([row]).values, score), rounding)
        })
      }),
      { numRuns: 10 }
    )
  })

  it("invariant 34: log-probabilities are those of the softmax of the logits", () => {
    // LongRoPE turns by other factors from its original context on, and so in a whole and in a beginning of it.
    const [row] = randomBatch([[3, name.startsWith("Phi 4") ? 2 : 6]], name)
    const all = Int32Array.from([...row!.prompt, ...row!.completion])
    const { entropies, logps } = policy.logprobs([row!])
    row!.completion.forEach((token, t) => {
      const logits = policy.logits(all.subarray(0, row!.prompt.length + t))
      const lse = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0))
      assert.closeTo(logps[t]!, logits[token]! - lse, rounding)
      const entropy = -logits.reduce((sum, z) => sum + Math.exp(z - lse) * (z - lse), 0)
      assert.closeTo(entropies[t]!, entropy, rounding)
    })
  })

  it("invariant 32: a later token changes no earlier number, and does change a later one", () => {
    const [row] = randomBatch([[2, 9]], name)
    const at = 5
    const completion = row!.completion.map((token, t) => t === at ? (token + 1) % 13 : token)
    const before = policy.logprobs([row!]).logps
    const after = policy.logprobs([{ ...row!, completion }]).logps
    assert.deepStrictEqual(after.subarray(0, at), before.subarray(0, at))
    for (let t = at; t < at + 3; t++) assert.notStrictEqual(after[t], before[t])
    const values = scorer.values([row!]).values
    const changed = scorer.values([{ ...row!, completion }]).values
    assert.deepStrictEqual(changed.subarray(0, at + 1), values.subarray(0, at + 1))
    assert.notStrictEqual(changed[at + 1], values[at + 1])
  })

  it("invariant 20: micro-batches equal one batch, forward and backward", () => {
    fc.assert(
      fc.property(lengths, fc.string(), fc.integer({ min: 1, max: 20 }), (of, seed, microBatchTokens) => {
        const batch = randomBatch(of, seed)
        const cut = transformer(reference(), { microBatchTokens })
        const weights = randomWeights(raw, name)
        const small = cut.policy(weights)
        const [one, other] = [small.logprobs(batch), policy.logprobs(batch)]
        assert.isAtMost(largestDifference(one.logps, other.logps), rounding)
        assert.isAtMost(largestDifference(one.entropies, other.entropies), rounding)
        assertSame(policyGradients(small, batch), policyGradients(engine.policy(weights), batch))
        const scores = randomWeights(raw, name, "score")
        assertSame(scorerGradients(cut.scorer(scores), batch), scorerGradients(engine.scorer(scores), batch))
      }),
      { numRuns: 5 }
    )
  })

  it("learn is logprobs and backward, a part of the batch at a time", () => {
    fc.assert(
      fc.property(lengths, fc.string(), fc.integer({ min: 1, max: 20 }), (of, seed, microBatchTokens) => {
        const batch = randomBatch(of, seed)
        const weights = randomWeights(raw, name)
        const parted = transformer(reference(), { microBatchTokens }).policy(weights)
        const whole = policy.logprobs(batch)
        const by = randomNumbers(whole.logps.length, "g")
        const parts: Array<number> = []
        const learnt = parted.learn(batch, (logps, first) => {
          assert.isAtMost(largestDifference(logps, whole.logps.subarray(first, first + logps.length)), rounding)
          parts.push(first)
          return by.slice(first, first + logps.length)
        })
        parted.step(revealing)
        assert.isAtMost(largestDifference(learnt.logps, whole.logps), rounding)
        assert.isAtMost(largestDifference(learnt.entropies, whole.entropies), rounding)
        assert.deepStrictEqual(learnt.offsets, whole.offsets)
        assert.deepStrictEqual(parts, parts.toSorted((a, b) => a - b))
        assertSame(parted.optimizer().tensors, policyGradients(engine.policy(weights), batch))
        assert.throws(
          () => parted.learn(randomBatch([[1, 3]], seed), () => new Float64Array(2)),
          "2 gradients for 3 logps"
        )
      }),
      { numRuns: 5 }
    )
  })

  it("gradients of several batches add up, whatever else is computed in between", () => {
    const weights = randomWeights(raw, name)
    const whole = randomBatch([[2, 4], [3, 3], [1, 6]], name)
    const by = randomNumbers(13, "g")
    const policy = engine.policy(weights)
    const parts: ReadonlyArray<readonly [Batch, Float64Array]> = [
      [whole.slice(0, 1), by.subarray(0, 4)],
      [whole.slice(1), by.subarray(4)]
    ]
    for (const [part, gradient] of parts) {
      policy.logprobs(part, { retain: true })
      policy.logprobs(randomBatch([[4, 9]], "other"))
      policy.logits(Int32Array.of(3, 4, 5))
      policy.backward(gradient)
    }
    policy.step(revealing)
    assertSame(policy.optimizer().tensors, policyGradients(engine.policy(weights), whole))
  })
})

/** Stages that work in chunks cut them where a cap asks them to: rows must not change with the cut. */
it.each(["reference", "wasm", "native"] as const)(
  "on %s a row has the same bits whatever else is in its batch",
  async (name) => {
    const backend = await backends[name]()
    const engine = transformer(backend)
    for (const raw of [variants["Llama, GQA, tied"]!, { ...variants["Qwen3, QK-norm"]!, ...wide }]) {
      const policy = engine.policy(randomWeights(raw, "cut"))
      const scorer = engine.scorer(randomWeights(raw, "cut", "score"))
      const prompts = Array.from(
        { length: 80 },
        (_, i) => Int32Array.from({ length: 1 + i % 5 }, (_, j) => (7 * i + j) % 13)
      )
      const seeds = prompts.map((_, i) => `cut/${i}`)
      const sampling = { ...plainSampling, maxNewTokens: 12, stop: [2, 3] }
      const whole = policy.sample(prompts, sampling, seeds)
      const rows = whole.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
      const [passed, scores] = [policy.logprobs(rows), scorer.values(rows)]
      for (let from = 0, size = 1; from < rows.length; from += size, size = 1 + (size * 3) % 11) {
        const to = Math.min(rows.length, from + size)
        assert.deepStrictEqual(
          policy.sample(prompts.slice(from, to), sampling, seeds.slice(from, to)),
          whole.slice(from, to)
        )
        const part = rows.slice(from, to)
        const of = ({ offsets }: { readonly offsets: Int32Array }) => [offsets[from]!, offsets[to]!] as const
        assert.deepStrictEqual(policy.logprobs(part).logps, passed.logps.slice(...of(passed)))
        assert.deepStrictEqual(scorer.values(part).values, scores.values.slice(...of(scores)))
      }
      policy.dispose()
      scorer.dispose()
    }
    backend.dispose()
  }
)

it("a sequence longer than all before it has its own positions", () => {
  const raw = { ...variants["Llama, GQA, tied"]!, max_position_embeddings: 2000, rope_theta: 10000 }
  const weights = randomWeights(raw, "long")
  const batch = randomBatch([[5, 900]], "long")
  const fresh = engine.policy(weights)
  const policy = engine.policy(weights)
  policy.logprobs(randomBatch([[5, 20]], "short"))
  assert.deepStrictEqual(policy.logprobs(batch).logps, fresh.logprobs(batch).logps)
  const [sampled] = policy.sample([batch[0]!.prompt], { ...plainSampling, maxNewTokens: 700, stop: [] }, ["a"])
  const whole = fresh.logprobs([{ prompt: batch[0]!.prompt, completion: sampled!.completion }])
  assert.isAtMost(largestDifference(sampled!.logps, whole.logps), 1e-11)
})
