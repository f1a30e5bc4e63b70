import { assert, describe, it } from "vitest"
import type { Batch, Policy, Row, Tensors, Update, Weights } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { modelConfig, withHead } from "../../../src/model/config.ts"
import { matchTensors } from "../../../src/model/matchTensors.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import {
  largestDifference,
  llamas,
  plainSampling,
  randomBatch,
  randomNumbers,
  randomWeights,
  revealing,
  training,
  variants
} from "./tinyModels.ts"

const qwen = variants["Qwen3, QK-norm"]!
const llama = variants["Llama, GQA, tied"]!
const batch = randomBatch([[2, 5], [1, 7]], "batch")

const train = (policy: Policy, update: Update = training, seed = "g", rows: Batch = batch): number => {
  policy.backward(randomNumbers(policy.logprobs(rows, { retain: true }).logps.length, seed))
  return policy.step(update)
}

const assertBits = (a: Tensors, b: Tensors): void => {
  assert.deepStrictEqual([...a.keys()], [...b.keys()])
  for (const [name, { data, shape }] of a) {
    assert.deepStrictEqual(b.get(name)!.shape, shape)
    assert.isTrue(data.every((x, i) => Object.is(x, b.get(name)!.data[i])), name)
  }
}

describe.each(kinds)("training on %s", (kind) => {
  it("goes on bit for bit from saved weights and optimiser", async () => {
    const backend = await open(kind)
    const engine = transformer(backend)
    const straight = engine.policy(randomWeights(qwen, "start"))
    const first = engine.policy(randomWeights(qwen, "start"))
    for (let i = 0; i < 3; i++) {
      train(straight, training, `${i}`)
      train(first, training, `${i}`)
    }
    const saved = { weights: first.weights(), optimizer: first.optimizer() }
    train(first, training, "thrown away")
    const resumed = engine.policy(saved.weights)
    resumed.restore(saved.optimizer)
    for (let i = 3; i < 6; i++) {
      assert.strictEqual(train(resumed, training, `${i}`), train(straight, training, `${i}`))
    }
    assertBits(resumed.weights().tensors, straight.weights().tensors)
    assertBits(resumed.optimizer().tensors, straight.optimizer().tensors)
    assert.strictEqual(resumed.optimizer().step, 6)
    assert.throws(() => resumed.restore({ step: 3, tensors: new Map() }), /3 updates but has no moments/)
    resumed.restore({ step: 0, tensors: new Map() })
    assert.strictEqual(resumed.optimizer().tensors.size, 0)
    for (const model of [straight, first, resumed]) model.dispose()
    assert.strictEqual(backend.memory().live, 0)
    backend.dispose()
  })

  it("allocates nothing after the largest batch, and dispose gives everything back", async () => {
    const held = await open(kind)
    let allocations = 0
    const backend: Backend = {
      ...held,
      reals: (length) => {
        allocations++
        return held.reals(length)
      }
    }
    const engine = transformer(backend)
    const policy = engine.policy(randomWeights(llama, "memory"))
    const scorer = engine.scorer(policy.weights())
    const round = (rows: Batch): void => {
      train(policy, training, "g", rows)
      const { values } = scorer.values(rows, { retain: true })
      scorer.backward(values)
      scorer.step(training)
      policy.sample(rows.map((row) => row.prompt), plainSampling, rows.map((_, i) => `${i}`))
    }
    const large = randomBatch([[3, 9], [5, 8], [2, 4]], "large")
    round(large)
    round(large)
    const { live, peak } = backend.memory()
    allocations = 0
    for (let i = 0; i < 4; i++) {
      round(i % 2 === 0 ? batch : large)
      assert.isAtMost(backend.memory().peak, peak)
    }
    round(large)
    assert.strictEqual(backend.memory().live, live)
    assert.strictEqual(allocations, 0)
    policy.dispose()
    scorer.dispose()
    assert.strictEqual(backend.memory().live, 0)
    backend.dispose()
  })
})

describe("a trainable model", () => {
  const engine = transformer(reference())

  it("gives back the weights it was opened with, under their Hugging Face names", () => {
    for (const raw of Object.values(variants)) {
      for (const head of ["lm", "score"] as const) {
        const weights = randomWeights(raw, "weights", head)
        const model = head === "lm" ? engine.policy(weights) : engine.scorer(weights)
        const saved = model.weights()
        assertBits(saved.tensors, weights.tensors)
        assert.deepStrictEqual(saved.config, weights.config)
        const { names, tied } = modelConfig(raw)
        assert.strictEqual(saved.tensors.has(`${names.head}.weight`), head === "lm" && !tied)
        assert.strictEqual(
          model.parameters,
          [...weights.tensors.values()].reduce((sum, { data }) => sum + data.length, 0)
        )
      }
    }
  })

  it("takes the output matrix of a tied model for its embedding", () => {
    const weights = randomWeights(llama, "weights")
    const tensors = new Map(weights.tensors)
    tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight")!)
    tensors.delete("model.embed_tokens.weight")
    assert.deepStrictEqual(
      engine.policy({ ...weights, tensors }).logprobs(batch),
      engine.policy(weights).logprobs(batch)
    )
  })

  it("leaves the weights it was opened with alone", () => {
    const weights = randomWeights(llama, "weights")
    const policy = engine.policy(weights)
    train(policy)
    assertBits(weights.tensors, randomWeights(llama, "weights").tensors)
    assert.isAbove(
      largestDifference(
        policy.weights().tensors.get("model.norm.weight")!.data,
        weights.tensors.get("model.norm.weight")!.data
      ),
      1e-4
    )
  })

  it("returns the norm before clipping and clips to the limit", () => {
    const moments = (maxGradNorm: number) => {
      const policy = engine.policy(randomWeights(llama, "clip"))
      const norm = train(policy, { ...revealing, maxGradNorm })
      const all = [...policy.optimizer().tensors].filter(([name]) => name.startsWith("exp_avg."))
      return { norm, gradient: all.flatMap(([, { data }]) => [...data]) }
    }
    const free = moments(Infinity)
    const clipped = moments(0.25)
    assert.closeTo(free.norm, Math.hypot(...free.gradient), 1e-10 * free.norm)
    assert.isAbove(free.norm, 0.25)
    assert.strictEqual(clipped.norm, free.norm)
    assert.isAtMost(largestDifference(clipped.gradient, free.gradient.map((g) => g * 0.25 / free.norm)), 1e-12)
  })

  it("applies no update when a gradient is not finite, and the next one as if it had not been", () => {
    const policy = engine.policy(randomWeights(llama, "nan"))
    const other = engine.policy(randomWeights(llama, "nan"))
    train(policy)
    train(other)
    for (const bad of [NaN, Infinity]) {
      const { logps } = policy.logprobs(batch, { retain: true })
      policy.backward(logps.fill(0).fill(bad, 0, 1))
      assert.isNotTrue(Number.isFinite(policy.step(training)))
    }
    assertBits(policy.weights().tensors, other.weights().tensors)
    assert.strictEqual(train(policy), train(other))
    assertBits(policy.weights().tensors, other.weights().tensors)
  })

  it("holds nothing but its parameters until it is used", () => {
    const backend = reference()
    const policy = transformer(backend).policy(randomWeights(llama, "frozen"))
    assert.strictEqual(backend.memory().live, 8 * policy.parameters)
  })
})

describe("a scorer", () => {
  const engine = transformer(reference())

  it("opened from a policy starts at zero on the policy's trunk, and learns", () => {
    for (const [name, raw] of Object.entries(variants)) {
      const policy = randomWeights(raw, "policy")
      const scorer = engine.scorer(policy)
      assert.isTrue(scorer.values(batch).values.every((value) => value === 0))
      const { config, tensors } = scorer.weights()
      assert.strictEqual(modelConfig(config).head, "score")
      assert.match(String((config["architectures"] as ReadonlyArray<string>)[0]), /ForSequenceClassification$/)
      const { names } = modelConfig(raw)
      const head = `${names.head}.weight`
      assert.isFalse(tensors.has(head))
      for (const [name, { data }] of policy.tensors) {
        if (name !== head) assert.deepStrictEqual(tensors.get(name)!.data, data)
      }
      // Only the head has a gradient at first; then everything has.
      scorer.backward(scorer.values(batch, { retain: true }).values.fill(1))
      scorer.step(training)
      const { values } = scorer.values(batch)
      assert.isBelow(values.reduce((sum, value) => sum + value, 0), 0)
      // The states of other architectures are less alike: one step moves their sum down, and not each.
      if (name in llamas) assert.isTrue(values.every((value) => value < 0))
    }
  })

  it("opened from a scorer keeps the head", () => {
    const weights = randomWeights(qwen, "scorer", "score")
    const { values } = engine.scorer(weights).values(batch)
    assert.isTrue(values.some((value) => Math.abs(value) > 0.1))
    assert.deepStrictEqual(engine.scorer(engine.scorer(weights).weights()).values(batch).values, values)
  })
})

describe("a scorer whose padding token is its end", () => {
  const engine = transformer(reference())
  const [row] = randomBatch([[2, 3]], "padded") as [Row]
  const ended = { ...row, completion: Int32Array.of(...row.completion, 2) }
  const last = (weights: Weights, of: Row) => engine.scorer(weights).values([of]).values.at(-1)!

  it("is read before the end, as transformers reads it", () => {
    const weights = randomWeights({ ...withHead(llama, "score"), pad_token_id: 2 }, "padded", "score")
    const unpadded = { ...weights, config: { ...weights.config, pad_token_id: 0 } }
    assert.strictEqual(last(weights, ended), last(weights, row))
    assert.notStrictEqual(last(unpadded, ended), last(unpadded, row))
  })

  it("is never made: that of a policy has no padding token and is read after the end", () => {
    const policy = randomWeights({ ...llama, pad_token_id: 2 }, "padded")
    const scorer = engine.scorer(policy)
    scorer.backward(scorer.values(batch, { retain: true }).values.fill(1))
    scorer.step(training)
    const made = scorer.weights()
    assert.isNull(made.config["pad_token_id"])
    assert.notStrictEqual(last(made, ended), last(made, row))
  })
})

describe("mistakes are said, with what to do", () => {
  const engine = transformer(reference())
  const weights = randomWeights(llama, "errors")
  const policy = engine.policy(weights)
  const ids = (...list: ReadonlyArray<number>) => Int32Array.from(list)
  const without = (name: string): Weights => ({
    ...weights,
    tensors: new Map([...weights.tensors].filter(([key]) => key !== name))
  })

  it.each<[string, () => unknown, RegExp]>([
    ["no prompt", () => policy.logprobs([{ prompt: ids(), completion: ids(1) }]), /Row 0 has an empty prompt.*bos/],
    ["no prompt to sample from", () => policy.sample([ids()], plainSampling, ["a"]), /empty prompt.*bos/],
    [
      "no prompt for a scorer",
      () => engine.scorer(weights).values([{ prompt: ids(), completion: ids(1) }]),
      /empty prompt.*bos/
    ],
    ["too long", () => policy.logprobs(randomBatch([[1, 2], [5, 20]], "long")), /Row 1 has 25 tokens.*context of 24/],
    [
      "prompt too long",
      () => policy.sample(randomBatch([[25, 0]], "p").map((r) => r.prompt), plainSampling, ["a"]),
      /24/
    ],
    [
      "foreign token",
      () => policy.logprobs([{ prompt: ids(1), completion: ids(13) }]),
      /token id 13.*vocabulary of 13/
    ],
    ["negative token", () => policy.logits(ids(-1)), /token id -1/],
    ["seeds", () => policy.sample([ids(1)], plainSampling, []), /0 seeds for 1 prompts/],
    ["backward out of turn", () => policy.backward(new Float64Array(0)), /retain/],
    ["missing tensor", () => engine.policy(without("model.norm.weight")), /no tensor "model.norm.weight".*\[8\]/],
    [
      "wrong shape",
      () =>
        engine.policy({
          ...weights,
          tensors: new Map([...weights.tensors, ["model.norm.weight", { shape: [4, 2], data: new Float32Array(8) }]])
        }),
      /"model.norm.weight" is \[4, 2\], .*\[8\]/
    ],
    ["a scorer as a policy", () => engine.policy(engine.scorer(weights).weights()), /not a language model/],
    [
      "a scorer without its head",
      () => engine.scorer({ ...without("none"), config: engine.scorer(weights).weights().config }),
      /no tensor "score.weight"/
    ]
  ])("%s", (_, act, message) => assert.throws(act, message))

  it("a gradient of the wrong length, which leaves the batch waiting", () => {
    policy.logprobs(batch, { retain: true })
    assert.throws(() => policy.backward(new Float64Array(11)), /11 gradients for the 12 tokens/)
    policy.backward(new Float64Array(12))
    assert.throws(() => policy.backward(new Float64Array(12)), /retain/)
    policy.logprobs(batch, { retain: true })
    policy.step(training)
    assert.throws(() => policy.backward(new Float64Array(12)), /retain/)
  })
})

describe("a MiMo", () => {
  const engine = transformer(reference())
  const raw = { ...variants["Qwen2, qkv biases"]!, architectures: ["MiMoForCausalLM"], model_type: "mimo" }

  it("computes as the Qwen 2 in it, and carries its further heads", () => {
    const extra = { shape: [8], data: Float64Array.from({ length: 8 }, (_, i) => i) }
    const name = "model.mtp_layers.0.input_layernorm.weight"
    const plain = randomWeights(raw, "mimo")
    const weights = matchTensors(modelConfig(raw), new Map([[name, extra], ...plain.tensors]), "here")
    const policy = engine.policy({ ...plain, tensors: weights })
    const qwen = engine.policy({ ...plain, config: variants["Qwen2, qkv biases"]! })
    assert.deepStrictEqual(policy.logprobs(batch), qwen.logprobs(batch))
    train(policy)
    const saved = policy.weights().tensors
    assert.strictEqual(saved.get(name), extra)
    assert.deepStrictEqual([...saved.keys()], [...plain.tensors.keys(), name])
    assert.throws(() => matchTensors(modelConfig(variants["Qwen2, qkv biases"]!), weights, "here"), /mtp_layers/)
  })
})
