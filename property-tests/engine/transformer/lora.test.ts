/** Adapters in the transformer: gradients, what is frozen, merging, sampling, resuming. */
import { assert, describe, it } from "vitest"
import type { Lora, Model, Optimizer, Tensors, Weights } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { modelConfig } from "../../../src/model/config.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import {
  largestDifference,
  plainSampling,
  randomBatch,
  randomNumbers,
  randomWeights,
  revealing,
  training,
  variants
} from "./tinyModels.ts"

const engine = transformer(reference())
const batch = randomBatch([[1, 5], [3, 4], [2, 0], [4, 1]], "lora")
const all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
/** Experts have no adapters. */
const allOf = (raw: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  modelConfig(raw).blocks.some(({ mlp }) => mlp.form === "routed") ? all.slice(0, 4) : all
const lora = (targetModules: ReadonlyArray<string>, rank = 2, alpha = 3): Lora => ({
  rank,
  alpha,
  targetModules,
  seed: "test"
})

const learn = (policy: ReturnType<typeof engine.policy>, steps: number, from = 0, update = training): void => {
  for (let n = from; n < from + steps; n++) {
    const { logps } = policy.logprobs(batch, { retain: true })
    policy.backward(randomNumbers(logps.length, `step ${n}`))
    policy.step(update)
  }
}
const fit = (scorer: ReturnType<typeof engine.scorer>, steps: number): void => {
  for (let n = 0; n < steps; n++) {
    scorer.backward(randomNumbers(scorer.values(batch, { retain: true }).values.length, `step ${n}`))
    scorer.step(training)
  }
}

/** The adapters (and the head) alone. */
const trained = ({ tensors }: Optimizer): Tensors =>
  new Map([...tensors].filter(([name]) => !name.startsWith("exp_avg")))

const moved = (tensors: Tensors, name: string, direction: ArrayLike<number>, by: number): Optimizer => {
  const { data, shape } = tensors.get(name)!
  return {
    step: 0,
    tensors: new Map([...tensors, [name, { shape, data: Float64Array.from(data, (x, i) => x + by * direction[i]!) }]])
  }
}

/** Gradients of one backward pass against central differences, along random directions of what is no one's block. */
const check = (model: Model, at: Tensors, loss: (state: Optimizer) => number): void => {
  model.step(revealing)
  const { tensors } = model.optimizer()
  const h = 5e-5
  for (const [name, { data }] of at) {
    const gradient = tensors.get(`exp_avg.${name}`)!.data
    const direction = randomNumbers(data.length, name).map((x, i) => data[i] === 0 ? 0 : x)
    const difference = (by: number) =>
      (loss(moved(at, name, direction, by)) - loss(moved(at, name, direction, -by))) / (2 * by)
    const numeric = (4 * difference(h) - difference(2 * h)) / 3
    const exact = Array.from(gradient).reduce((sum, g, i) => sum + g * direction[i]!, 0)
    assert.isAbove(Math.abs(exact), 1e-5, `${name} does not matter`)
    assert.isAtMost(Math.abs(numeric - exact), 2e-8 * (1 + Math.abs(exact)), `${name}: ${numeric}, ${exact}`)
    // What mixes two projections has no gradient.
    gradient.forEach((g, i) => assert.isTrue(data[i] !== 0 || g === 0, `${name}[${i}]`))
  }
}

const weighted = (numbers: Float64Array, by: Float64Array): number => numbers.reduce((sum, x, i) => sum + x * by[i]!, 0)

/** Whether each matrix is wanted whole: fused projections have one adapter. */
const whole = (raw: Readonly<Record<string, unknown>>, targets: ReadonlyArray<string>): boolean => {
  const { gated, names } = modelConfig(raw)
  const fused = [
    ...(names.qkv.length === 1 ? [["q_proj", "k_proj", "v_proj"]] : []),
    ...(names.up.length === 1 && gated ? [["gate_proj", "up_proj"]] : [])
  ]
  return fused.every((parts) => new Set(parts.map((part) => targets.includes(part))).size === 1)
}

describe("the gradient of the adapters equals finite differences", () => {
  for (const [name, raw] of Object.entries(variants)) {
    const dense = allOf(raw) === all
    for (const targets of [allOf(raw), ["q_proj", "v_proj"], ...(dense ? [["up_proj"]] : [])]) {
      it(`${name}: log-probabilities, ${targets.length} targets`, () => {
        const weights = randomWeights(raw, name)
        const computing = { lora: lora(targets) }
        if (!whole(raw, targets)) {
          assert.throws(() => engine.policy(weights, computing), /are one matrix, \w+: target all of them/)
          return
        }
        const policy = engine.policy(weights, computing)
        learn(policy, 2, 0, { ...training, learningRate: 0.2 })
        const at = trained(policy.optimizer())
        const fresh = (state: Optimizer) => {
          const other = engine.policy(weights, computing)
          other.restore(state)
          return other
        }
        const model = fresh({ step: 0, tensors: at })
        const by = randomNumbers(model.logprobs(batch, { retain: true }).logps.length, "losses")
        model.backward(by)
        check(model, at, (state) => weighted(fresh(state).logprobs(batch).logps, by))
      })
    }
  }

  it("values, the scalar head included", () => {
    const weights = randomWeights(variants["Qwen2, qkv biases"]!, "values", "score")
    const computing = { lora: lora(all) }
    const first = engine.scorer(weights, computing)
    fit(first, 2)
    const at = trained(first.optimizer())
    assert.isTrue(at.has("score.weight"))
    const fresh = (state: Optimizer) => {
      const other = engine.scorer(weights, computing)
      other.restore(state)
      return other
    }
    const model = fresh({ step: 0, tensors: at })
    const by = randomNumbers(model.values(batch, { retain: true }).values.length, "losses")
    model.backward(by)
    check(model, at, (state) => weighted(fresh(state).values(batch).values, by))
  })
})

describe("adapters", () => {
  const raw = variants["Llama, GQA, tied"]!
  const weights = randomWeights(raw, "adapters")

  it("change nothing before the first update", () => {
    const [plain, adapted] = [engine.policy(weights), engine.policy(weights, { lora: lora(all) })]
    assert.strictEqual(largestDifference(plain.logprobs(batch).logps, adapted.logprobs(batch).logps), 0)
  })

  it("alone are trained: Σ r (in + out) parameters with gradient and moments, everything else as it was", () => {
    const policy = engine.policy(weights, { lora: lora(["q_proj", "v_proj"]) })
    // Two layers; q is [16, 8], v [8, 8].
    assert.strictEqual(
      engine.policy(weights, { lora: lora(["q_proj"]) }).parameters,
      2 * 2 * (8 + 16)
    )
    learn(policy, 3)
    const { tensors } = policy.weights()
    for (const [name, { data }] of weights.tensors) {
      const same = largestDifference(data, tensors.get(name)!.data) === 0
      assert.strictEqual(same, !/q_proj|v_proj/u.test(name), name)
    }
    assert.isTrue(
      [...policy.optimizer().tensors.keys()].every((name) => /^(exp_avg\.|exp_avg_sq\.)?lora\./u.test(name))
    )
  })

  it.each(kinds)("merged into plain weights give the same log-probabilities and values (%s)", async (kind) => {
    const backend = await open(kind)
    const on = transformer(backend)
    const tolerance = kind === "reference" ? 1e-11 : 2e-4
    // One of each is enough where the kernels are others: threads on a busy machine are slow.
    for (const raw of kind === "reference" ? Object.values(variants) : [variants["Qwen3, QK-norm"]!]) {
      const from = randomWeights(raw, "merged")
      const targets = allOf(raw)
      const policy = on.policy(from, { lora: lora(targets) })
      learn(policy, 4)
      const merged = on.policy(policy.weights())
      const [a, b, c] = [policy, merged, on.policy(from)].map((model) => model.logprobs(batch).logps)
      assert.isAtMost(largestDifference(a!, b!), tolerance)
      assert.isAbove(largestDifference(a!, c!), 1e-2)
      const scorer = on.scorer(from, {
        lora: lora(targets === all && whole(raw, ["q_proj", "gate_proj"]) ? ["q_proj", "gate_proj"] : targets)
      })
      fit(scorer, 4)
      const plain = on.scorer(scorer.weights())
      assert.isAtMost(largestDifference(scorer.values(batch).values, plain.values(batch).values), tolerance)
    }
    backend.dispose()
  })

  it("of full rank reproduce any update of a matrix", () => {
    const name = "model.layers.1.mlp.down_proj"
    const rank = 8
    const update = randomNumbers(8 * 10, "any update")
    const full = { ...lora(["down_proj"], rank, 5) }
    const policy = engine.policy(weights, { lora: full })
    const state = new Map(policy.optimizer().tensors)
    // B = I, A = ΔW r/α.
    state.set("lora.1.down.a", { shape: [8, 10], data: update.map((x) => x * rank / 5) })
    state.set("lora.1.down.b", {
      shape: [8, 8],
      data: Float64Array.from({ length: 64 }, (_, i) => i % 9 === 0 ? 1 : 0)
    })
    policy.restore({ step: 0, tensors: state })
    const expected = Float64Array.from(weights.tensors.get(`${name}.weight`)!.data, (x, i) => x + update[i]!)
    assert.isAtMost(largestDifference(policy.weights().tensors.get(`${name}.weight`)!.data, expected), 1e-14)
  })

  it("of a rank that a matrix does not have are refused", () => {
    assert.throws(
      () => engine.policy(weights, { lora: lora(["k_proj"], 9) }),
      /rank 9 is larger than k_proj, which is \[8, 8\]/u
    )
  })

  it("sample what they say: the log-probabilities of what was sampled are those of a forward pass", () => {
    const policy = engine.policy(weights, { lora: lora(all) })
    learn(policy, 4)
    const prompts = [Int32Array.of(1, 5, 3), Int32Array.of(1, 7)]
    policy.sample(prompts, plainSampling, ["a", "b"]).forEach(({ completion, logps }, i) => {
      const again = policy.logprobs([{ prompt: prompts[i]!, completion }])
      assert.isAtMost(largestDifference(logps, again.logps), 1e-10)
    })
    assert.deepStrictEqual(
      policy.sample(prompts, plainSampling, ["a", "b"]).map(({ completion }) => [...completion]),
      engine.policy(policy.weights()).sample(prompts, plainSampling, ["a", "b"]).map((
        { completion }
      ) => [...completion])
    )
  })

  it("computed again layer by layer have the same gradients, bit for bit", () => {
    const state = (recompute: boolean) => {
      const policy = engine.policy(weights, { lora: lora(all), recompute })
      learn(policy, 3)
      return policy.optimizer().tensors
    }
    const [kept, again] = [state(false), state(true)]
    for (const [name, { data }] of kept) assert.strictEqual(largestDifference(data, again.get(name)!.data), 0, name)
  })

  it("go on from their saved state, on the weights that they started from, bit for bit", () => {
    const [straight, before, after] = [0, 1, 2].map(() => engine.policy(weights, { lora: lora(all) }))
    learn(straight!, 5)
    learn(before!, 2)
    after!.restore(before!.optimizer())
    learn(after!, 3, 2)
    const [a, b]: ReadonlyArray<Weights> = [straight!.weights(), after!.weights()]
    for (const [name, { data }] of a!.tensors) {
      assert.strictEqual(largestDifference(data, b!.tensors.get(name)!.data), 0)
    }
    assert.deepStrictEqual(straight!.optimizer(), after!.optimizer())
  })

  it("take less memory to train than all weights do: the base once, gradient and moments of the adapters alone", () => {
    const bytes = (computing: { readonly lora?: Lora }) => {
      const backend = reference()
      const policy = transformer(backend).policy(weights, computing)
      learn(policy, 1)
      const { live } = backend.memory()
      backend.dispose()
      return live
    }
    const size = [...weights.tensors.values()].reduce((sum, { data }) => sum + data.length, 0)
    // Without them three more copies of all weights.
    assert.isBelow(bytes({ lora: lora(["q_proj"], 1) }), bytes({}) - 2.5 * 8 * size)
  })
})
