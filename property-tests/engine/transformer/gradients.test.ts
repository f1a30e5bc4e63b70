import { assert, describe, it } from "vitest"
import { withHead } from "../../../src/model/config.ts"
import type { Model, Tensors, Weights } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { modelConfig } from "../../../src/model/config.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { largestDifference, randomBatch, randomNumbers, randomWeights, revealing, variants } from "./tinyModels.ts"

const engine = transformer(reference())
const batch = randomBatch([[1, 5], [3, 4], [2, 0], [4, 1]], "gradients")

const gradientsOf = (model: Model): Tensors => {
  model.step(revealing)
  return model.optimizer().tensors
}

/** `weights` with `by · direction` added to one tensor. */
const moved = (weights: Weights, name: string, direction: ArrayLike<number>, by: number): Weights => {
  const tensor = weights.tensors.get(name)!
  const data = Float64Array.from(tensor.data, (x, i) => x + by * direction[i]!)
  return { ...weights, tensors: new Map([...weights.tensors, [name, { shape: tensor.shape, data }]]) }
}

/**
 * Every tensor's gradient along a random direction (all its elements at once) and along three of its elements, against
 * central differences of the whole model in double precision.
 */
const check = (weights: Weights, gradients: Tensors, loss: (weights: Weights) => number): void => {
  const h = 5e-5
  for (const [name, { data }] of weights.tensors) {
    const gradient = Float64Array.from(gradients.get(`exp_avg.${name}`)!.data)
    const directions = [
      randomNumbers(data.length, name),
      ...[0, 0.37, 0.93].map((part) => {
        const one = new Float64Array(data.length)
        one[Math.floor(part * data.length)] = 1
        return one
      })
    ]
    directions.forEach((direction, k) => {
      const difference = (by: number) =>
        (loss(moved(weights, name, direction, by)) - loss(moved(weights, name, direction, -by))) / (2 * by)
      // Richardson: the h² terms of the two cancel.
      const numeric = (4 * difference(h) - difference(2 * h)) / 3
      const exact = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0)
      if (k === 0) assert.isAbove(Math.abs(exact), 1e-4, `${name} does not matter`)
      assert.isAtMost(
        Math.abs(numeric - exact),
        2e-8 * (1 + Math.abs(exact)),
        `${name}, direction ${k}: ${numeric}, ${exact}`
      )
    })
  }
}

const weighted = (numbers: Float64Array, by: Float64Array): number => numbers.reduce((sum, x, i) => sum + x * by[i]!, 0)

describe("the gradient of the whole model equals finite differences", () => {
  for (const [name, raw] of Object.entries(variants)) {
    it(`invariant 34: ${name}: log-probabilities`, () => {
      const weights = randomWeights(raw, name)
      const policy = engine.policy(weights)
      const by = randomNumbers(policy.logprobs(batch, { retain: true }).logps.length, "losses")
      policy.backward(by)
      check(weights, gradientsOf(policy), (at) => {
        const other = engine.policy(at)
        const { logps } = other.logprobs(batch)
        other.dispose()
        return weighted(logps, by)
      })
      policy.dispose()
    })

    it(`invariant 34: ${name}: log-probabilities and entropies at a temperature are those of logits divided by it`, () => {
      const weights = randomWeights(raw, name)
      const policy = engine.policy(weights)
      const temperature = 1.7
      const by = randomNumbers(policy.logprobs(batch, { retain: true, temperature }).logps.length, "losses")
      policy.backward(by)
      const gradients = gradientsOf(policy)
      // A head of its own divided by T divides the logits.
      const tensors = new Map(weights.tensors)
      const { logitCap, names } = modelConfig(raw)
      // A cap is not linear.
      if (logitCap > 0) return
      const head = tensors.get(`${names.head}.weight`) ?? tensors.get(`${names.embed}.weight`)!
      const untied = { ...weights, config: { ...weights.config, tie_word_embeddings: false } }
      const divided = engine.policy({
        ...untied,
        tensors: tensors.set(`${names.head}.weight`, {
          ...head,
          data: Float64Array.from(head.data, (x) => x / temperature)
        })
      })
      const [own, other] = [policy.logprobs(batch, { temperature }), divided.logprobs(batch)]
      assert.isBelow(largestDifference(own.logps, other.logps), 1e-12)
      assert.isBelow(largestDifference(own.entropies, other.entropies), 1e-12)
      divided.dispose()
      check(weights, gradients, (at) => {
        const other = engine.policy(at)
        const { logps } = other.logprobs(batch, { temperature })
        other.dispose()
        return weighted(logps, by)
      })
      policy.dispose()
    })

    it(`invariant 34: ${name}: values`, () => {
      const weights = randomWeights(raw, name, "score")
      const scorer = engine.scorer(weights)
      const by = randomNumbers(scorer.values(batch, { retain: true }).values.length, "losses")
      scorer.backward(by)
      check(weights, gradientsOf(scorer), (at) => {
        const other = engine.scorer(at)
        const { values } = other.values(batch)
        other.dispose()
        return weighted(values, by)
      })
      scorer.dispose()
    })
  }

  it("invariant 34: values where the padding token is the end", () => {
    const raw = { ...withHead(Object.values(variants)[0]!, "score"), pad_token_id: 2 }
    const weights = randomWeights(raw, "padded", "score")
    const ended = batch.map((row, i) => ({
      ...row,
      completion: Int32Array.of(...row.completion, ...(i === 0 ? [2, 2] : [2]))
    }))
    const scorer = engine.scorer(weights)
    const by = randomNumbers(scorer.values(ended, { retain: true }).values.length, "losses")
    scorer.backward(by)
    check(weights, gradientsOf(scorer), (at) => weighted(engine.scorer(at).values(ended).values, by))
    scorer.dispose()
  })
})
