import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Reference } from "../../dsl/index.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { follow, movable } from "../../src/training/reference.ts"
import { randomPolicy } from "../engine/tabularWorlds.ts"

const small = world({ prompts: 1, vocab: 3, horizon: 2, seed: "reference" })
const { policy } = tabular(small)
const logits = (of: ReturnType<typeof randomPolicy>) => Array.from(of.tensors.get("logits")!.data)
const [a, b] = [randomPolicy(small, "a"), randomPolicy(small, "b")]

/** a that has followed b by this rate. */
const followed = (from: ReturnType<typeof randomPolicy>, to: ReturnType<typeof randomPolicy>, rate: number) => {
  const model = policy(from)
  model.follow(policy(to), rate)
  return logits(model.weights())
}

describe("references", () => {
  it("that follow a policy are on the line between the two, its ends included", () => {
    assert.deepStrictEqual(followed(a, b, 0), logits(a))
    assert.deepStrictEqual(followed(a, b, 1), logits(b))
    fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (rate) => {
      followed(a, b, rate).forEach((x, i) =>
        assert.closeTo(x, logits(a)[i]! * (1 - rate) + logits(b)[i]! * rate, 1e-12)
      )
      // Invariant 37: an average of constants is constant.
      followed(a, a, rate).forEach((x, i) => assert.closeTo(x, logits(a)[i]!, 1e-12))
    }))
  })

  it("follow the policy when it is their time, and then only", () => {
    const trained = policy(b)
    const after = (how: Reference.ReferencePolicy, step: number) => {
      const reference = movable(policy)(a)
      follow(how, reference, trained, step)
      return logits(reference.weights())
    }
    const every = new Reference.ResetEvery({ steps: 3 })
    assert.deepStrictEqual(after(every, 2), logits(a))
    assert.deepStrictEqual(after(every, 3), logits(b))
    const average = new Reference.MovingAverage({ rate: 0.25, every: 2 })
    assert.deepStrictEqual(after(average, 1), logits(a))
    assert.deepStrictEqual(after(average, 4), followed(a, b, 0.25))
    assert.deepStrictEqual(after(new Reference.Frozen(), 3), logits(a))
    assert.notDeepEqual(logits(a), logits(language(small)))
  })
})
