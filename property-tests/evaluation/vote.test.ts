import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { majority, votesOf } from "../../src/evaluation/vote.ts"

const answers = fc.array(fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined }), { minLength: 1, maxLength: 9 })
const same = (a: string, b: string) => a === b

describe("maj@n", () => {
  it("is the chance that the answer drawn among the most frequent is right", () => {
    fc.assert(fc.property(answers, (said) => {
      const count = (one: string) => said.filter((other) => other === one).length
      const voted = [...new Set(said)].filter((one) => one !== undefined)
      const winners = voted.filter((one) => voted.every((other) => count(one) >= count(other)))
      const expected = winners.length === 0 ? 0 : winners.filter((one) => one === "b").length / winners.length
      const verdicts = said.map((one) => one === "b" ? 1 : 0)
      assert.closeTo(majority(votesOf(said, same), verdicts), expected, 1e-12)
    }))
  })

  it("does not depend on the order of the completions", () => {
    const shuffled = answers.chain((said) =>
      fc.tuple(fc.constant(said), fc.shuffledSubarray([...said.keys()], { minLength: said.length }))
    )
    fc.assert(fc.property(shuffled, ([said, order]) => {
      const of = (some: ReadonlyArray<string | undefined>) =>
        majority(votesOf(some, same), some.map((one) => one === "b" ? 1 : 0))
      assert.closeTo(of(order.map((i) => said[i])), of(said), 1e-12)
    }))
  })

  it("counts spellings of an answer together, and completions without an answer not at all", () => {
    const votes = votesOf(["0.5", undefined, "1/3", "1/2"], (a, b) => a === b || [a, b].sort().join() === "0.5,1/2")
    assert.deepStrictEqual(votes, [0, null, 2, 0])
    assert.strictEqual(majority(votes, [1, 0, 0, 1]), 1)
    assert.strictEqual(majority([null, null], [1, 1]), 0)
  })
})
