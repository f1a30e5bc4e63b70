/** Tokens that an environment wrote: every verb is that of the whole row, with their numbers left out and their gradient 0. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { type Batch, offsetsOf, ownTokens, type Row } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { klBetween } from "../../../src/losses/kl.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { largestDifference, randomBatch, randomNumbers, randomWeights, revealing, variants } from "./tinyModels.ts"

const engine = transformer(reference())

/** Rows of which some completion tokens are given, and the same rows as if the policy had written all. */
const rows = fc.tuple(
  fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 })), { minLength: 1, maxLength: 3 }),
  fc.infiniteStream(fc.boolean())
).map(([lengths, bits]) => {
  const whole = randomBatch(lengths, "given")
  return {
    whole,
    given: whole.map((row): Row => ({
      ...row,
      given: Uint8Array.from(row.completion, () => Number(bits.next().value))
    }))
  }
})

/** Whether each number of the whole rows is one of their own. */
const isOwn = (batch: Batch): ReadonlyArray<boolean> =>
  batch.flatMap(({ given }) => Array.from(given!, (one) => one === 0))

describe("tokens that are given", () => {
  it("have no number, and the own tokens have theirs, whatever the micro-batches", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(...Object.values(variants)), fc.constantFrom(4, 1000), (batch, raw, most) => {
        const { given, whole } = batch
        const own = isOwn(given)
        const kept = (numbers: Float64Array) => numbers.filter((_, t) => own[t])
        const [weights, other] = [randomWeights(raw, "p"), engine.policy(randomWeights(raw, "t"))]
        const policy = engine.policy(weights, { microBatchTokens: most })
        const [some, all] = [policy.logprobs(given), policy.logprobs(whole)]
        assert.deepStrictEqual(some.offsets, offsetsOf(given))
        assert.equal(some.offsets.at(-1), given.reduce((sum, row) => sum + ownTokens(row).length, 0))
        assert.isAtMost(largestDifference(some.logps, kept(all.logps)), 1e-12)
        assert.isAtMost(largestDifference(some.entropies, kept(all.entropies)), 1e-12)
        const between = (rows: Batch) => policy.divergences(rows, other, klBetween).values
        assert.isAtMost(largestDifference(between(given), kept(between(whole))), 1e-12)
        const scorer = engine.scorer(randomWeights(raw, "v", "score"))
        const [values, everywhere] = [scorer.values(given), scorer.values(whole)]
        const positions = given.flatMap((row) => [...Array.from(row.given!, (one) => one === 0), true])
        assert.isAtMost(largestDifference(values.values, everywhere.values.filter((_, t) => positions[t])), 1e-12)
        for (const model of [policy, other, scorer]) model.dispose()
      }),
      { numRuns: 25 }
    )
  })

  it("have no gradient: it is that of the whole rows with 0 in their place", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(...Object.values(variants)), ({ given, whole }, raw) => {
        const own = isOwn(given)
        const slopes = randomNumbers(own.length, "slopes")
        const gradient = (batch: Batch, dLogps: Float64Array, learns: boolean) => {
          const policy = engine.policy(randomWeights(raw, "p"))
          if (learns) policy.learn(batch, (logps, first) => dLogps.slice(first, first + logps.length))
          else {
            policy.logprobs(batch, { retain: true })
            policy.backward(dLogps)
          }
          policy.step(revealing)
          const tensors = policy.optimizer().tensors
          policy.dispose()
          return [...tensors].flatMap(([name, { data }]) => name.startsWith("exp_avg.") ? Array.from(data) : [])
        }
        const some = slopes.filter((_, t) => own[t])
        const all = gradient(whole, slopes.map((slope, t) => own[t] ? slope : 0), false)
        assert.isAtMost(largestDifference(gradient(given, some, false), all), 1e-9)
        assert.isAtMost(largestDifference(gradient(given, some, true), all), 1e-9)
      }),
      { numRuns: 15 }
    )
  })
})
