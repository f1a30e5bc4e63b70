import { Schema } from "effect"
import { assert, describe, it } from "vitest"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { leastSamples, measureKl, overPrompts, samplesPerPrompt } from "../../src/ledger/measure.ts"
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
      samples: leastSamples,
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

  /** The prompts that a measurement asks, by their places. */
  const asks = (count: number, samples: number, seed = "x") => {
    const held = Array.from({ length: count }, (_, i) => Int32Array.from(prompts[i % 2]!))
    const asked: Array<number> = []
    const opened = engine.policy(policy)
    const measured = measureKl(
      {
        ...opened,
        sample: (of, ...rest) => {
          asked.push(...of.map((one) => held.findIndex((other) => other === one)))
          return opened.sample(of, ...rest)
        }
      },
      engine.policy(initial),
      held,
      { samples, maxNewTokens: world.horizon, stop: codec.stop, seed }
    )
    return { asked, measured }
  }

  it("asks each prompt as often as any other, with 64 samples or more, whatever is asked for", () => {
    for (const [count, samples, each] of [[2, 2, 32], [3, 6, 22], [5, 66, 14], [64, 2, 1]] as const) {
      const { asked, measured } = asks(count, samples)
      assert.deepStrictEqual(asked, Array.from({ length: count * each }, (_, i) => i % count))
      assert.deepStrictEqual([measured.samples, measured.prompts], [count * each, count])
      assert.strictEqual(measured.max === null, each < samplesPerPrompt)
    }
  })

  it("draws the prompts by the seed where there are more of them than samples", () => {
    const [{ asked, measured }, other] = [asks(100, 2), asks(100, 2, "y")]
    assert.lengthOf(asked, leastSamples)
    assert.strictEqual(measured.prompts, new Set(asked).size)
    assert.isAbove(measured.prompts, 32)
    assert.isNull(measured.p95)
    assert.notDeepEqual(other.asked, asked)
    assert.deepStrictEqual(asks(100, 2).asked, asked)
  })

  it("has an error bar after samples that are alike: a policy of one completion, from a model that also has others", () => {
    const sure = randomPolicy(world, "sure", 40)
    const one = measureKl(engine.policy(sure), engine.policy(initial), prompts.slice(0, 1), {
      samples: 2,
      maxNewTokens: world.horizon,
      stop: codec.stop,
      seed: "x"
    })
    assert.isAbove(one.mean, 0.1)
    assert.isAtLeast(one.standardError, 0.99 * one.mean / one.samples)
  })
})
