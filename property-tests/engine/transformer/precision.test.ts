import { afterAll, assert, describe, it } from "vitest"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { rounded } from "./rounded.ts"
import { largestDifference, plainSampling, randomBatch, randomWeights, training, variants } from "./tinyModels.ts"

const raw = variants["Qwen3, QK-norm"]!
const weights = randomWeights(raw, "precision")
const scores = randomWeights(raw, "precision", "score")
const batch = randomBatch([[2, 9], [5, 4], [3, 12]], "precision")

/** bf16 by definition, and every backend here that has it. */
const backends: Array<readonly [name: string, backend: Backend]> = [["definition", rounded(reference())]]
for (const kind of kinds) {
  const backend = await open(kind)
  if (backend.precisions.includes("bf16")) backends.push([kind, backend])
  else backend.dispose()
}

describe.each(backends)("a model in bf16: %s", (name, backend) => {
  const engine = transformer(backend)
  const low = engine.policy(weights, { precision: "bf16" })
  const full = engine.policy(weights)
  afterAll(() => backend.dispose())

  it("is offered as its backend offers it", () => {
    assert.deepStrictEqual(engine.precisions, ["f32", "bf16"])
    assert.deepStrictEqual(transformer(reference()).precisions, ["f32"])
    assert.strictEqual(engine.addressable, backend.addressable)
    assert.throws(() => transformer(reference()).policy(weights, { precision: "bf16" }), /bf16/)
  })

  it("differs by rounding, and compared in f32 is the f32 model", () => {
    const [rough, exact] = [low.logprobs(batch), full.logprobs(batch)]
    const gap = largestDifference(rough.logps, exact.logps)
    assert.isAbove(gap, 1e-4)
    assert.isBelow(gap, 0.2)
    assert.deepStrictEqual(low.logprobs(batch, { precision: "f32" }), exact)
    assert.deepStrictEqual(low.logprobs(batch, { precision: "bf16" }), rough)
    assert.deepStrictEqual(full.logprobs(batch, { precision: "bf16" }), rough)
    const scorer = engine.scorer(scores, { precision: "bf16" })
    assert.deepStrictEqual(scorer.values(batch, { precision: "f32" }), engine.scorer(scores).values(batch))
    assert.notDeepEqual(scorer.values(batch).values, engine.scorer(scores).values(batch).values)
  })

  it("samples with the log-probabilities of its own precision", () => {
    const prompts = batch.map(({ prompt }) => prompt)
    const samples = low.sample(prompts, plainSampling, ["a", "b", "c"])
    const rows = samples.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
    const logps = Float64Array.from(samples.flatMap(({ logps }) => [...logps]))
    const own = low.logprobs(rows).logps
    assert.strictEqual(own.length, logps.length)
    // The two sum in different orders, and a factor between two bfloat16 can then fall to the other one: hence the median.
    const differences = own.map((logp, t) => Math.abs(logp - logps[t]!)).sort()
    assert.isAtMost(differences[differences.length >> 1]!, name === "definition" ? 1e-12 : 1e-6)
    assert.isAbove(largestDifference(full.logprobs(rows).logps, logps), 1e-4)
  })

  it("comparing leaves a retained batch alone, and what is retained is in its own precision", () => {
    const gradient = (compare: boolean) => {
      const policy = engine.policy(weights, { precision: "bf16" })
      const { logps } = policy.logprobs(batch, { retain: true })
      if (compare) policy.logprobs(batch, { precision: "f32" })
      policy.backward(logps)
      return policy.step(training)
    }
    assert.strictEqual(gradient(true), gradient(false))
    assert.throws(() => low.logprobs(batch, { precision: "f32", retain: true }), /retained/)
    const exact = engine.policy(weights)
    exact.backward(exact.logprobs(batch, { retain: true }).logps)
    const norm = exact.step(training)
    assert.notStrictEqual(gradient(false), norm)
    assert.closeTo(gradient(false) / norm, 1, 0.05)
  })

  it("keeps its weights as they are", () => {
    const saved = engine.policy(weights, { precision: "bf16" }).weights()
    for (const [name, { data }] of full.weights().tensors) assert.deepStrictEqual(saved.tensors.get(name)!.data, data)
  })
})
