/** The log-probabilities of a rollout are those of the policy that sampled, at the temperature of its samples. */
import * as Effect from "effect/Effect"
import { assert, describe, it } from "vitest"
import type { Policy } from "../../src/engine/engine.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { atOnce } from "../../src/rewards/judge.ts"
import { once } from "../../src/training/answering.ts"
import { rollout } from "../../src/training/rollout.ts"
import { assertClose } from "../losses/gradients.ts"

const world = makeWorld({ prompts: 2, vocab: 4, horizon: 3, seed: "rollout" })
const codec = codecOf(world)
const own = tabular(world).policy(language(world))
/** Its sampler rounds: it says 0.01 more than the policy. */
const rounding: Policy = {
  ...own,
  sample: (...args) => own.sample(...args).map((one) => ({ ...one, logps: one.logps.map((x) => x + 0.01) }))
}
const asked = Array.from({ length: 16 }, (_, i) => ({
  ids: codec.encodePrompt(world.prompts[i % 2]!),
  row: { prompt: world.prompts[i % 2]!, row: i + 1 },
  world: ""
}))
const judge = { verifies: atOnce(() => true) }
const at = (temperature: number, readsSampler: boolean) =>
  Effect.runSync(rollout(
    {
      answering: once({ stage: "here", codec, context: own.context }),
      policy: rounding,
      reference: own,
      sampling: { maxNewTokens: 3, temperature, topK: 0, topP: 1, stop: codec.stop },
      scoring: { stage: "here", reward: null, codec, verifiers: [], judge, missingEosPenalty: 0, maxNewTokens: 3 },
      readsSampler,
      now: { step: 0, running: {} }
    },
    asked,
    asked.map((_, i) => `rollout/${i}`)
  ))

describe("a rollout", () => {
  it("has log π_T of policy and reference, and the sampler's beside it where a loss reads it", () => {
    for (const temperature of [0.5, 1, 2]) {
      const { logps, refLogps, rows, samplerLogps } = at(temperature, true)
      assertClose(logps, own.logprobs(rows, { temperature }).logps, 1e-15)
      assertClose(refLogps!, logps, 1e-15)
      assertClose(samplerLogps, logps.map((x) => x + 0.01), 1e-12)
    }
    const { logps, rows, samplerLogps } = at(0.5, false)
    assert.strictEqual(samplerLogps, logps)
    assert.notDeepEqual([...logps], [...own.logprobs(rows).logps])
  })
})
