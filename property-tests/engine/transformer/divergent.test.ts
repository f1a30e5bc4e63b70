/** Full-vocabulary divergences of two transformers of different sizes, in blocks and micro-batches. */
import { assert, describe, it } from "vitest"
import type { Divergence } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { generalizedJsd } from "../../../src/losses/distill.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { largestDifference, randomBatch, randomNumbers, randomWeights, revealing, variants } from "./tinyModels.ts"

const raw = variants["Llama, GQA, tied"]!
const student = randomWeights(raw, "student")
// Another width, another depth, untied, the same vocabulary.
const teacher = randomWeights(
  { ...raw, hidden_size: 12, num_hidden_layers: 1, head_dim: 6, tie_word_embeddings: false },
  "teacher"
)
const batch = randomBatch([[1, 5], [3, 4], [2, 0], [4, 1]], "divergent")
const divergence = generalizedJsd({ beta: 0.3, temperature: 1.3 })

const logSoftmax = (z: Float64Array): Float64Array => {
  const lse = Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0))
  return z.map((x) => x - lse)
}

describe("divergences of a student from its teacher", () => {
  it("are those of the two models' logits, token by token", () => {
    const engine = transformer(reference())
    const [own, theirs] = [engine.policy(student), engine.policy(teacher)]
    const { offsets, values } = own.divergences(batch, theirs, divergence)
    assert.deepStrictEqual([...offsets], [0, 5, 9, 9, 10])
    batch.forEach(({ completion, prompt }, i) =>
      completion.forEach((_, t) => {
        const before = Int32Array.of(...prompt, ...completion.subarray(0, t))
        const expected = divergence(logSoftmax(own.logits(before)), logSoftmax(theirs.logits(before)), null)
        assert.closeTo(values[offsets[i]! + t]!, expected, 1e-12)
      })
    )
  })

  it("invariant 34: the gradient of every tensor is the finite differences; micro-batches and recomputation change nothing", () => {
    const by = randomNumbers(10, "by")
    const gradientsOf = (options: { readonly microBatchTokens?: number; readonly recompute?: boolean }) => {
      const engine = transformer(reference(), options)
      const [own, theirs] = [engine.policy(student), engine.policy(teacher)]
      own.divergences(batch, theirs, divergence, { retain: true })
      // Other calls in between do not disturb what is retained.
      theirs.logprobs(batch)
      own.logprobs(batch)
      own.backward(by)
      own.step(revealing)
      return own.optimizer().tensors
    }
    const whole = gradientsOf({})
    const engine = transformer(reference())
    const theirs = engine.policy(teacher)
    const loss = (name: string, direction: Float64Array, step: number): number => {
      const tensor = student.tensors.get(name)!
      const data = Float64Array.from(tensor.data, (x, i) => x + step * direction[i]!)
      const own = engine.policy({ ...student, tensors: new Map([...student.tensors, [name, { ...tensor, data }]]) })
      const { values } = own.divergences(batch, theirs, divergence)
      own.dispose()
      return values.reduce((sum, x, i) => sum + x * by[i]!, 0)
    }
    for (const [name, { data }] of student.tensors) {
      const direction = randomNumbers(data.length, name)
      const difference = (h: number) => (loss(name, direction, h) - loss(name, direction, -h)) / (2 * h)
      const numeric = (4 * difference(5e-5) - difference(1e-4)) / 3
      const exact = Float64Array.from(whole.get(`exp_avg.${name}`)!.data).reduce(
        (sum, g, i) => sum + g * direction[i]!,
        0
      )
      assert.isAbove(Math.abs(exact), 1e-5, `${name} does not matter`)
      assert.isAtMost(Math.abs(numeric - exact), 2e-8 * (1 + Math.abs(exact)), name)
    }
    for (const options of [{ microBatchTokens: 5 }, { recompute: true }, { microBatchTokens: 8, recompute: true }]) {
      for (const [name, { data }] of gradientsOf(options)) {
        assert.isAtMost(largestDifference(data, whole.get(name)!.data), 1e-12, name)
      }
    }
  })

  it("a large vocabulary in several blocks is as one", () => {
    // 2²⁰ logits are one block: with half as many words that is 2 tokens.
    const vocab = 2 ** 19
    const config = {
      ...raw,
      vocab_size: vocab,
      hidden_size: 2,
      head_dim: 2,
      intermediate_size: 2,
      num_hidden_layers: 1
    }
    const engine = transformer(reference())
    const [own, theirs] = [engine.policy(randomWeights(config, "s")), engine.policy(randomWeights(config, "t"))]
    const rows = randomBatch([[1, 2], [2, 1]], "blocks", vocab)
    const seen: Array<number> = []
    const watched: Divergence = (s, t, gradient) => {
      seen.push(s.length)
      gradient?.fill(0)
      return s[7]! - t[11]!
    }
    const { values } = own.divergences(rows, theirs, watched, { retain: true })
    assert.deepStrictEqual(seen, [vocab, vocab, vocab])
    rows.forEach((row, i) => {
      const { values: alone } = own.divergences([row], theirs, watched)
      assert.deepStrictEqual(alone, values.slice(2 * i, 2 * i + row.completion.length))
    })
  })

  for (const kind of kinds) {
    it(`on ${kind} they agree with double precision`, async () => {
      const exact = transformer(reference())
      const backend = await open(kind)
      const engine = transformer(backend)
      const run = (of: typeof engine) => {
        const [own, theirs] = [of.policy(student), of.policy(teacher)]
        const { values } = own.divergences(batch, theirs, divergence, { retain: true })
        own.backward(values.map(() => 0.1))
        own.step(revealing)
        return { values, gradient: own.optimizer().tensors.get("exp_avg.model.embed_tokens.weight")!.data }
      }
      const [a, b] = [run(exact), run(engine)]
      assert.isAtMost(largestDifference(a.values, b.values), 2e-6)
      assert.isAtMost(largestDifference(a.gradient, b.gradient), 2e-6)
      backend.dispose()
    })
  }

  it("refuses a teacher of another vocabulary, and the student itself", () => {
    const engine = transformer(reference())
    const own = engine.policy(student)
    const other = engine.policy(randomWeights({ ...raw, vocab_size: 14 }, "other"))
    assert.throws(() => own.divergences(batch, other, divergence), /vocabulary has 14 tokens, the student's 13/)
    assert.throws(() => own.divergences(batch, own, divergence), /its own teacher/)
  })
})
