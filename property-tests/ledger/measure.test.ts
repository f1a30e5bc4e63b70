import { Schema } from "effect"
import { assert, describe, it } from "vitest"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { measureKl, overPrompts, samplesPerPrompt } from "../../src/ledger/measure.ts"
import { Event } from "../../src/store/runLog.ts"
import { randomPolicy } from "../engine/tabularWorlds.ts"

const world = makeWorld({ prompts: 2, vocab: 3, horizon: 3, seed: "ledger" })
const engine = tabular(world)
const codec = codecOf(world)
const prompts = world.prompts.map((prompt) => codec.encodePrompt(prompt))

describe("measured KL", () => {
  const [policy, initial] = [randomPolicy(world, "policy", 0.7), randomPolicy(world, "initial", 0.7)]
  const exact = kl(logDistribution(world, policy), logDistribution(world, initial)).mean
  const measure = (seed: string, samples = 64) =>
    measureKl(engine.policy(policy), engine.policy(initial), prompts, {
      samples,
      maxNewTokens: world.horizon,
      stop: codec.stop,
      seed
    })
  const all = Array.from({ length: 200 }, (_, i) => measure(`repetition ${i}`))

  it("is within 3 standard errors of the exact KL in at least 97 % of 200 repetitions", () => {
    const covered = all.filter(({ mean, standardError }) => Math.abs(mean - exact) <= 3 * standardError).length
    assert.isAtLeast(covered / all.length, 0.97, `exact ${exact}`)
    // And the interval is an interval, not everything: 1 standard error misses often.
    const narrow = all.filter(({ mean, standardError }) => Math.abs(mean - exact) <= standardError).length
    assert.isAtMost(narrow / all.length, 0.8)
    assert.isAtLeast(narrow / all.length, 0.55)
  })

  it("is unbiased", () => {
    const mean = all.reduce((sum, { mean }) => sum + mean, 0) / all.length
    const variance = all.reduce((sum, one) => sum + (one.mean - mean) ** 2, 0) / (all.length - 1)
    assert.isAtMost(Math.abs(mean - exact), 3 * Math.sqrt(variance / all.length), `exact ${exact}`)
    assert.isAbove(exact, 10 * Math.sqrt(variance / all.length))
  })

  it("of a model from itself is exactly 0, and the same seed gives the same number", () => {
    const own = measureKl(engine.policy(policy), engine.policy(policy), prompts, {
      samples: 8,
      maxNewTokens: world.horizon,
      stop: codec.stop,
      seed: "x"
    })
    assert.deepStrictEqual(own, {
      mean: 0,
      standardError: 0,
      perToken: 0,
      perTokenError: 0,
      samples: 8,
      prompts: 2,
      p95: 0,
      max: 0
    })
    assert.deepStrictEqual(measure("again"), measure("again"))
    assert.notStrictEqual(measure("again").mean, measure("other").mean)
  })

  it("over prompts is of the mean of each: max converges to the exact KL of the furthest prompt", () => {
    const furthest = Math.max(...kl(logDistribution(world, policy), logDistribution(world, initial)).prompts)
    assert.isAbove(furthest, exact)
    assert.approximately(measure("many", 40_000).max!, furthest, 0.03)
  })

  it("over prompts takes the nearest rank, is no smaller than the mean, and is null when a prompt has too few samples", () => {
    // Prompt p has the mean p; single samples lie 100 around it.
    const prompts = 40
    const signed = Float64Array.from({ length: prompts * 4 }, (_, i) => i % prompts + (i < prompts * 2 ? 100 : -100))
    assert.deepStrictEqual(overPrompts(signed, prompts), { p95: 37, max: 39 })
    assert.deepStrictEqual(overPrompts(signed.subarray(1), prompts), { p95: null, max: null })
    const few = measure("few", 2 * samplesPerPrompt - 1)
    assert.deepStrictEqual([few.prompts, few.p95, few.max], [2, null, null])
    for (const { max, mean, p95 } of all) assert.isTrue(p95! <= max! && mean <= max! + 1e-12)
  })

  it("of an old log still decodes", () => {
    const old = {
      _tag: "Measured",
      measurement: {
        stage: "ppo-1",
        step: 5,
        from: "sft-1",
        estimator: "k1",
        direction: "reverse",
        temperature: 1,
        mean: 0.5,
        standardError: 0.1,
        perToken: 0.01,
        samples: 8,
        cap: null
      }
    }
    assert.deepStrictEqual(Schema.decodeUnknownSync(Event)(old) as unknown, old)
  })

  it("asks each prompt as often as any other", () => {
    const asked: Array<Int32Array> = []
    const opened = engine.policy(policy)
    measureKl(
      { ...opened, sample: (of, ...rest) => (asked.push(...of), opened.sample(of, ...rest)) },
      engine.policy(initial),
      prompts,
      { samples: 6, maxNewTokens: world.horizon, stop: codec.stop, seed: "x" }
    )
    assert.deepStrictEqual(asked, [0, 1, 0, 1, 0, 1].map((i) => prompts[i]!))
  })
})
