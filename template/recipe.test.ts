/** Laws of the recipe, tried on values that fast-check draws: `npm test`. Nothing is trained; the simulations are exact. */
import fc from "fast-check"
import { Kl, Pipeline } from "keel"
import { problems } from "keel/interpreters"
import { laws } from "keel/testing"
import assert from "node:assert/strict"
import { test } from "node:test"
import recipe, { aligned, friendly, sft } from "./recipe.ts"

/** The recipe's policy with another β, allowance and cap. */
const policy = (beta: number, allowance: number, cap: number) =>
  Pipeline.cap(aligned(beta, allowance), { kl: Kl.mnatsPerSequence(cap), from: sft })

const amount = fc.integer({ min: 1, max: 20_000 })
const beta = fc.double({ min: 0.01, max: 2, noNaN: true })

test("no mistake is found in it", () => assert.deepEqual(problems(recipe), []))

test("it is the same after JSON", () => laws.jsonRoundTrip(fc.constant({ root: recipe })))

test("more KL than its cap is refused, and nothing else is", () =>
  fc.assert(
    fc.property(beta, amount, amount, (beta, allowance, cap) => {
      assert.equal(problems(policy(beta, allowance, cap)).length > 0, allowance > cap)
    })
  ))

test("simulated, it ends within its cap or stops with an error that says so", () =>
  laws.simulates(fc.tuple(beta, amount).map(([beta, cap]) => ({ root: policy(beta, cap, cap) })), { numRuns: 10 }))

test("the reward is defined on every text", () =>
  laws.reward((prompt, completion) => friendly.score(prompt, completion, {}), { bounds: { min: 0, max: 1 } }))
