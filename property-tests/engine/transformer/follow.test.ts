/** A model that follows another: all weights, derived data, adapters. */
import { assert, describe, it } from "vitest"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import type { Model, Weights } from "../../../src/engine/engine.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { randomBatch, randomWeights, variants } from "./tinyModels.ts"

const engine = transformer(reference())
const update = { learningRate: 0.1, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const
const batch = randomBatch([[2, 4], [1, 3]], "follow")
const numbers = (model: Model): ReadonlyArray<number> =>
  [...model.weights().tensors.values()].flatMap(({ data }) => [...data])
const between = (a: Weights, b: ReadonlyArray<number>, rate: number) => {
  const model = engine.policy(a)
  const start = numbers(model)
  model.dispose()
  return start.map((x, i) => (1 - rate) * x + rate * b[i]!)
}

describe("follow", () => {
  it.each(Object.entries(variants))(
    "moves every weight on the line to the other's, and what is derived from them: %s",
    (_, raw) => {
      const [a, b] = [randomWeights(raw, "a"), randomWeights(raw, "b")]
      const [model, other] = [engine.policy(a), engine.policy(b)]
      model.logprobs(batch)
      model.follow(other, 0.25)
      const expected = between(a, numbers(other), 0.25)
      numbers(model).forEach((x, i) => assert.closeTo(x, expected[i]!, 1e-12))
      const again = engine.policy(model.weights())
      assert.deepStrictEqual(model.logprobs(batch).logps, again.logprobs(batch).logps)
      model.follow(other, 1)
      assert.deepStrictEqual(numbers(model), numbers(other))
      for (const one of [model, other, again]) one.dispose()
    }
  )

  it("merges the adapters of the other", () => {
    const raw = variants["Llama, GQA, tied"]!
    const a = randomWeights(raw, "a")
    const adapted = engine.policy(a, {
      lora: { rank: 2, alpha: 4, targetModules: ["q_proj", "down_proj"], seed: "lora" }
    })
    const { logps } = adapted.logprobs(batch, { retain: true })
    adapted.backward(logps.map(() => 1))
    adapted.step(update)
    const model = engine.policy(a)
    model.follow(adapted, 0.5)
    const expected = between(a, numbers(adapted), 0.5)
    assert.notDeepEqual(numbers(adapted), numbers(engine.policy(a)))
    numbers(model).forEach((x, i) => assert.closeTo(x, expected[i]!, 1e-12))
    for (const one of [model, adapted]) one.dispose()
  })

  it("is the same for models with a scalar head", () => {
    const a = randomWeights(variants["Llama, GQA, tied"]!, "a")
    const [model, other] = [engine.scorer(a), engine.scorer(a)]
    const { values } = other.values(batch, { retain: true })
    other.backward(values.map(() => 1))
    other.step(update)
    model.follow(other, 1)
    assert.deepStrictEqual(model.values(batch).values, other.values(batch).values)
    for (const one of [model, other]) one.dispose()
  })
})
