import fc from "fast-check"
import { modelConfig } from "../../../src/model/config.ts"
import { assert, describe, it } from "vitest"
import { flopsPerToken, trainStep } from "../../../src/bench/cases.ts"
import { asBatch, type WorkloadName, workloads } from "../../../src/bench/models.ts"
import { counting } from "../../../src/tensor/counting/backend.ts"
import type { Packing } from "../../../src/tensor/backend.ts"
import { withoutWeights } from "../../../src/planning/countedEngine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { plainSampling, randomBatch, variants } from "./tinyModels.ts"

type Lengths = ReadonlyArray<readonly [prompt: number, completion: number]>

/** FLOPs of something done with a policy that has no weights. */
const flopsOf = (
  config: Readonly<Record<string, unknown>>,
  work: (policy: ReturnType<ReturnType<typeof transformer>["policy"]>) => void,
  recompute = false
): number => {
  const backend = counting()
  const policy = transformer(backend).policy(withoutWeights(config), { recompute })
  work(policy)
  return backend.spent().flops
}

const batches = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), {
  minLength: 1,
  maxLength: 5
})
const configs = fc.constantFrom(...Object.values(variants))

const forward = (lengths: Lengths) => (policy: Parameters<Parameters<typeof flopsOf>[1]>[0]) =>
  void policy.logprobs(randomBatch(lengths, "spent"))

const training = (lengths: Lengths) => (policy: Parameters<Parameters<typeof flopsOf>[1]>[0]) => {
  const { logps } = policy.logprobs(randomBatch(lengths, "spent"), { retain: true })
  policy.backward(new Float64Array(logps.length))
}

describe("counted floating-point operations", () => {
  for (const name of ["tiny", "mid"] satisfies ReadonlyArray<WorkloadName>) {
    it(`are the closed form within 1 %: ${name}, training and log-probabilities`, () => {
      const workload = workloads[name]()
      const batch = workload.batches[0]!
      const sequence = batch[0]!.length - 1
      const tokens = batch.length * sequence
      const expected = (passes: 1 | 3) => tokens * flopsPerToken(workload, sequence, passes)
      const { config } = workload.weights
      const logprobs = flopsOf(config, (policy) => void policy.logprobs(asBatch(batch)))
      assert.approximately(logprobs / expected(1), 1, 0.01)
      const trained = flopsOf(config, (policy) => void trainStep(policy, workload, 0))
      assert.approximately(trained / expected(3), 1, 0.01)
    })
  }

  it("are linear in layers", () => {
    fc.assert(
      fc.property(
        configs.filter((raw) => new Set(modelConfig(raw).blocks.map((block) => JSON.stringify(block))).size === 1),
        batches,
        fc.boolean(),
        (config, lengths, trains) => {
          const at = (layers: number) =>
            flopsOf({ ...config, num_hidden_layers: layers }, trains ? training(lengths) : forward(lengths))
          assert.strictEqual(at(3) - at(2), at(2) - at(1))
          assert.isAbove(at(2), at(1))
        }
      ),
      { numRuns: 50 }
    )
  })

  it("add up exactly: a batch costs what its rows do one by one", () => {
    fc.assert(
      fc.property(configs, batches, fc.boolean(), (config, lengths, trains) => {
        const of = (some: Lengths) => flopsOf(config, trains ? training(some) : forward(some))
        assert.strictEqual(of(lengths), lengths.reduce((sum, row) => sum + of([row]), 0))
      }),
      { numRuns: 50 }
    )
  })

  it("of decoding token by token are those of one pass over the whole, prompts' other logits aside", () => {
    fc.assert(
      fc.property(configs, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 7 }), (config, prompt, more) => {
        const rows = randomBatch([[prompt, more]], "spent")
        const sampled = flopsOf(
          config,
          (policy) => void policy.sample([rows[0]!.prompt], { ...plainSampling, maxNewTokens: more, stop: [] }, ["a"])
        )
        assert.strictEqual(sampled, flopsOf(config, forward([[prompt, more]])))
      }),
      { numRuns: 50 }
    )
  })

  it("of a recomputed pass count again: at most a forward pass of each layer", () => {
    fc.assert(
      fc.property(configs, batches, (config, lengths) => {
        const of = (layers: number, recompute: boolean) =>
          flopsOf({ ...config, num_hidden_layers: layers }, training(lengths), recompute)
        const at = (layers: number) => flopsOf({ ...config, num_hidden_layers: layers }, forward(lengths))
        const again = of(3, true) - of(3, false)
        assert.isAbove(again, 0)
        assert.isAtMost(again, 3 * (at(2) - at(1)))
      }),
      { numRuns: 20 }
    )
  })
})

describe("packed weights", () => {
  const { config } = workloads.tiny().weights
  /** Of sampling, in all and of packed weights alone; the bytes that its products with packed weights move. */
  const sampled = (precision: "f32" | "bf16", packing?: Packing) => {
    let moved = 0
    const backend = counting({
      cost: (what, _, bytes) => (what === "linearPacked" ? moved += bytes : 0, 0),
      ...(packing === undefined ? {} : { packing })
    })
    const policy = transformer(backend).policy(withoutWeights(config), { precision })
    const sampling = { ...plainSampling, maxNewTokens: 4, stop: [] }
    backend.during("generation", () => policy.sample([Int32Array.of(1, 2)], sampling, ["a"]))
    const { bytes, terms } = backend.peaks().get("generation")!
    return { bytes, packed: terms.get("packed weights")!, moved }
  }

  it("take half in bf16, as in our kernels, and on a GPU nothing of their own in f32", () => {
    const [f32, bf16] = [sampled("f32"), sampled("bf16")]
    assert.approximately(bf16.packed / f32.packed, 0.5, 0.01)
    assert.strictEqual(f32.bytes - bf16.bytes, f32.packed - bf16.packed)
    const gpu: Packing = (precision, inputs, outputs) => (precision === "bf16" ? 0.5 : 0) * inputs * outputs
    const [shared, narrow] = [sampled("f32", gpu), sampled("bf16", gpu)]
    // A buffer for each, of the smallest size.
    assert.isBelow(shared.packed, 0.1 * f32.packed)
    assert.strictEqual(narrow.packed, bf16.packed)
    // Read they are nevertheless.
    assert.strictEqual(shared.moved, f32.moved)
    assert.isBelow(narrow.moved, f32.moved)
  })
})
