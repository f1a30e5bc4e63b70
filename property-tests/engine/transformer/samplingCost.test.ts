/** What sampling costs is counted in rows and pairs, not timed: it is the cost of the tokens, whatever their distribution. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Sampled } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { counting } from "./counting.ts"
import { largestDifference, plainSampling, randomBatch, randomWeights, training, variants } from "./tinyModels.ts"

const raw = { ...variants["Llama, GQA, tied"]!, max_position_embeddings: 80 }
const [layers, vocab, dim] = [2, 13, 8]
/** (heads + 2 kvHeads) · headDim: no other product of this model has so many outputs. */
const qkv = 32

const promptsOf = (lengths: ReadonlyArray<number>, seed: string): ReadonlyArray<Int32Array> =>
  randomBatch(lengths.map((length) => [length, 0] as const), seed).map((row) => row.prompt)
const seedsOf = (prompts: ReadonlyArray<unknown>, seed: string) => prompts.map((_, i) => `${seed}/${i}`)
const triangle = (n: number): number => n * (n + 1) / 2

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, x) => total + x, 0)

/** Rows and pairs that samples need at least, with every distinct prompt computed once. */
const needed = (prompts: ReadonlyArray<Int32Array>, samples: ReadonlyArray<Sampled>) => {
  const distinct = [...new Map(prompts.map((prompt) => [prompt.join(), prompt.length])).values()]
  // The last token of a sample is never run through the model.
  const decoded = samples.map(({ completion }) => completion.length - 1)
  return {
    rows: sum(distinct) + sum(decoded),
    logits: distinct.length + sum(decoded),
    pairs: sum(distinct.map(triangle)) +
      sum(
        samples.map(({ completion }, i) =>
          triangle(prompts[i]!.length + completion.length - 1) - triangle(prompts[i]!.length)
        )
      )
  }
}

describe("samples of very different lengths cost what their tokens cost", () => {
  const { backend, counts, reset } = counting(reference())
  const policy = transformer(backend).policy(randomWeights(raw, "cost"))
  const lengths = (count: number) => Array.from({ length: count }, (_, i) => 1 + (i * 37) % 60)

  it.each<[string, ReadonlyArray<Int32Array>, ReadonlyArray<number>]>([
    ["32 samples that fill the context after 1 to 79 tokens", promptsOf(lengths(32), "fill"), []],
    ["150 samples that end by themselves, more than there are slots", promptsOf(lengths(150), "stop"), [2]],
    ["4 groups of 8", Array.from({ length: 32 }, (_, i) => promptsOf([5, 33, 8, 21], "g")[i % 4]!), [2]],
    ["200 samples of one prompt, more than there are slots", promptsOf([40], "1").flatMap((p) => Array(200).fill(p)), [
      2
    ]],
    [
      "5 groups of 30, mixed with prompts of their own",
      [
        ...Array.from({ length: 150 }, (_, i) => promptsOf([5, 33, 8, 21, 2], "m")[i % 5]!),
        ...promptsOf(lengths(20), "o")
      ],
      [2]
    ]
  ])("%s", (name, prompts, stop) => {
    reset()
    const samples = policy.sample(prompts, { ...plainSampling, maxNewTokens: 100, stop }, seedsOf(prompts, name))
    const need = needed(prompts, samples)
    assert.strictEqual(counts.rows.get(qkv), layers * need.rows)
    assert.strictEqual(counts.rows.get(vocab), need.logits)
    assert.strictEqual(counts.pairs, layers * need.pairs)
    const longest = Math.max(...samples.map(({ completion }) => completion.length))
    // The lengths do differ: in lockstep the same samples would cost at least half as much again.
    assert.isAbove(longest * samples.length, 1.5 * sum(samples.map(({ completion }) => completion.length)))
  })

  it("reads tokens and log-probabilities back, never logits, unless top-k or top-p need them", () => {
    const prompts = promptsOf(Array.from({ length: 10 }, () => 4), "read")
    for (const temperature of [0, 0.7, 1]) {
      reset()
      policy.sample(prompts, { ...plainSampling, temperature }, seedsOf(prompts, "read"))
      assert.strictEqual(counts.longestRead, 10)
    }
    reset()
    policy.sample(prompts, { ...plainSampling, topK: 3 }, seedsOf(prompts, "read"))
    assert.strictEqual(counts.longestRead, 10 * vocab)
  })

  it("packs the weights once, and again only when they have changed", () => {
    const { backend, counts, reset } = counting(reference())
    const policy = transformer(backend).policy(randomWeights(raw, "packs"))
    const all = 4 * layers + 1
    const prompts = promptsOf([3, 5], "packs")
    const sample = () => policy.sample(prompts, { ...plainSampling, temperature: 0, stop: [] }, ["a", "b"])
    const first = sample()
    assert.strictEqual(counts.packed, all)
    assert.deepStrictEqual(sample(), first)
    policy.logprobs(randomBatch([[2, 3]], "other"))
    sample()
    assert.strictEqual(counts.packed, all)
    policy.logprobs(randomBatch([[2, 3]], "other"), { retain: true })
    policy.backward(Float64Array.of(1, 2, 3))
    policy.step({ ...training, learningRate: 0.3 })
    reset()
    const after = sample()
    assert.strictEqual(counts.packed, all)
    // The old weights would give the old samples.
    assert.notDeepEqual(after[0]!.logps, first[0]!.logps)
    const rows = after.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
    const logps = Float64Array.from(after.flatMap(({ logps }) => [...logps]))
    assert.isAtMost(largestDifference(policy.logprobs(rows).logps, logps), 1e-12)
  })
})

describe.each(kinds)("a group on %s", (kind) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await open(kind)
  })
  afterAll(() => backend.dispose())

  it("is as if each sample were alone", () => {
    const policy = transformer(backend).policy(randomWeights(raw, "group"))
    const prompts = Array.from({ length: 24 }, (_, i) => promptsOf([6, 19, 1], "group")[i % 3]!)
    for (const how of [{}, { topK: 4, temperature: 0.8 }]) {
      const sampling = { ...plainSampling, maxNewTokens: 12, ...how }
      const together = policy.sample(prompts, sampling, seedsOf(prompts, "group"))
      prompts.forEach((prompt, i) => {
        const [alone] = policy.sample([prompt], sampling, [`group/${i}`])
        assert.deepStrictEqual(alone!.completion, together[i]!.completion)
        // Not one bit: a row of a product is the same whatever other rows there are.
        assert.deepStrictEqual(alone!.logps, together[i]!.logps)
      })
      assert.isAbove(new Set(together.map(({ completion }) => completion.join())).size, 12)
    }
    policy.dispose()
  })

  it("more samples of a prompt than slots are as if each were alone", () => {
    const policy = transformer(backend).policy(randomWeights(raw, "many"))
    const prompts = Array.from({ length: 180 }, (_, i) => promptsOf([6, 19], "many")[i < 100 ? 0 : 1]!)
    const together = policy.sample(prompts, plainSampling, seedsOf(prompts, "many"))
    for (let i = 0; i < prompts.length; i += 11) {
      const [alone] = policy.sample([prompts[i]!], plainSampling, [`many/${i}`])
      assert.deepStrictEqual(alone!.completion, together[i]!.completion)
      assert.deepStrictEqual(alone!.logps, together[i]!.logps)
    }
    policy.dispose()
  })

  it("prompts that enter later may have more tokens than all before them", () => {
    const policy = transformer(backend).policy(randomWeights(raw, "later"))
    // 64 slots: 16 prompts that end together after 10 tokens, 48 that go on, then 16 that are longer than the 64 were.
    const lengths = [...Array(16).fill(70), ...Array(48).fill(1), ...Array(16).fill(78)]
    const prompts = promptsOf(lengths, "later")
    const samples = policy.sample(prompts, { ...plainSampling, maxNewTokens: 20, stop: [] }, seedsOf(prompts, "later"))
    const rows = samples.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
    const logps = Float64Array.from(samples.flatMap(({ logps }) => [...logps]))
    assert.isAtMost(largestDifference(policy.logprobs(rows).logps, logps), kind === "reference" ? 1e-12 : 1e-5)
    policy.dispose()
  })

  it("allocates nothing after the first call of its shape, whatever the lengths", () => {
    const { backend: counted, counts, reset } = counting(backend)
    const policy = transformer(counted).policy(randomWeights(raw, "memory"))
    const prompts = Array.from({ length: 40 }, (_, i) => promptsOf([6, 19, 11, 4, 70], "memory")[i % 5]!)
    const call = (seed: string) =>
      policy.sample(prompts, { ...plainSampling, maxNewTokens: 60 }, seedsOf(prompts, seed))
    call("first")
    const before = counted.memory()
    reset()
    const samples = ["a", "b", "c"].flatMap(call)
    assert.deepStrictEqual(counted.memory(), before)
    assert.strictEqual(counts.allocated, 0)
    assert.strictEqual(counts.freed, 0)
    assert.isAbove(new Set(samples.map(({ completion }) => completion.length)).size, 10)
    policy.dispose()
    assert.strictEqual(counted.memory().live, 0)
  })
})

it("a product of one row counts one row", () => {
  const { backend, counts } = counting(reference())
  const policy = transformer(backend).policy(randomWeights(raw, "one"))
  policy.logits(Int32Array.of(3))
  assert.strictEqual(counts.rows.get(qkv), layers)
  assert.strictEqual(counts.rows.get(vocab), 1)
  assert.strictEqual(counts.products, layers * (dim * qkv + 16 * dim + dim * 20 + 10 * dim) + dim * vocab)
})
