/** How often the intervals of the ledger cover what they are about, on worlds and models whose KL can be enumerated. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Policy, Row } from "../../src/engine/engine.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { completions, kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { incompleteBeta } from "../../src/ledger/incompleteBeta.ts"
import { ofMean, ofShare, tQuantile } from "../../src/ledger/interval.ts"
import { type KlMeasured, measureKl } from "../../src/ledger/measure.ts"
import { kl as estimate, klBetween } from "../../src/losses/kl.ts"
import { reference } from "../../src/tensor/reference.ts"
import { randomPolicy } from "../engine/tabularWorlds.ts"
import { randomWeights, variants } from "../engine/transformer/tinyModels.ts"

/** A world of this many prompts, two policies on it, and KL between them by enumeration. */
const worldOf = (prompts: number, spread: number, apart = 1) => {
  const world = makeWorld({ prompts, vocab: 3, horizon: 3, seed: "coverage" })
  const initial = randomPolicy(world, "initial", spread)
  const [engine, codec] = [tabular(world), codecOf(world)]
  const between = engine.policy(initial)
  between.follow(engine.policy(randomPolicy(world, "policy", spread)), apart)
  const policy = between.weights()
  const [p, q] = [logDistribution(world, policy), logDistribution(world, initial)]
  const exact = kl(p, q)
  const lengths = completions(world).map(({ tokens }) => tokens.length)
  const length = p.reduce((sum, row) => sum + row.reduce((sum, x, n) => sum + Math.exp(x) * lengths[n]!, 0), 0) /
    prompts
  const [a, b] = [engine.policy(policy), engine.policy(initial)]
  const encoded = world.prompts.map((prompt) => codec.encodePrompt(prompt))
  const { horizon: maxNewTokens } = world
  const measure = (samples: number, seed: string): KlMeasured =>
    measureKl(a, b, encoded, { samples, maxNewTokens, stop: codec.stop, seed })
  /** The same samples by another estimator. */
  const by = (estimator: "k1" | "k3") => (samples: number, seed: string) => {
    const asked = Array.from({ length: samples }, (_, i) => encoded[i % encoded.length]!)
    const sampling = { maxNewTokens, temperature: 1, topK: 0, topP: 1, stop: codec.stop }
    const rows = a.sample(asked, sampling, asked.map((_, i) => `${seed}/${i}`)).map(({ completion }, i): Row => ({
      prompt: asked[i]!,
      completion
    }))
    const { logps, offsets } = a.logprobs(rows)
    return { ...estimate(logps, b.logprobs(rows).logps, offsets, estimator), samples }
  }
  return {
    exact: exact.mean,
    perToken: exact.mean / length,
    prompts: exact.prompts,
    measure,
    k1: by("k1"),
    k3: by("k3")
  }
}

/** The share of measurements whose interval covers `exact`. */
const covered = <M extends Pick<KlMeasured, "mean" | "standardError" | "samples">>(
  all: ReadonlyArray<M>,
  exact: number,
  of: (measured: M) => readonly [value: number, error: number] = ({ mean, standardError }) => [mean, standardError]
): number =>
  all.filter((m) => {
    const { high, low } = ofMean(...of(m), m.samples)!
    return low <= exact && exact <= high
  }).length / all.length

const tokenwise = (m: KlMeasured) => [m.perToken, m.perTokenError] as const

const repetitions = <M>(n: number, measure: (seed: string) => M): ReadonlyArray<M> =>
  Array.from({ length: n }, (_, i) => measure(`repetition ${i}`))

describe("intervals of measured KL", () => {
  // 2,000 repetitions tell 95 % from 93.5 % by three standard errors.
  const [least, most] = [0.935, 0.97]

  it("of 95 % cover in 95 % of 2,000 repetitions of 64 samples of a prompt, mean and per token", () => {
    const { exact, measure, perToken } = worldOf(1, 0.7)
    const all = repetitions(2000, (seed) => measure(64, seed))
    for (const share of [covered(all, exact), covered(all, perToken, tokenwise)]) {
      assert.isAtLeast(share, least)
      assert.isAtMost(share, most)
    }
    // As they would not of another quantity.
    assert.isBelow(covered(all, exact * 1.4), 0.9)
  })

  it("would cover less often with k3, which is skewed", () => {
    const { exact, k3 } = worldOf(2, 0.7)
    const share = (samples: number, n: number) => covered(repetitions(n, (seed) => k3(samples, seed)), exact)
    const few = share(32, 2000)
    assert.isAtLeast(few, 0.88)
    assert.isAtMost(few, 0.93)
    assert.isAtLeast(share(512, 400), 0.92)
  })

  it("cover in at least 90 % far from the initial model, with as few samples as there may be", () => {
    const { exact, measure } = worldOf(2, 1.5)
    assert.isAtLeast(covered(repetitions(2000, (seed) => measure(2, seed)), exact), 0.9)
  })

  it("are a quarter as wide as those of k1 close to the initial model", () => {
    const { exact, k1, measure } = worldOf(2, 0.7, 0.05)
    assert.isBelow(exact, 0.01)
    const width = (all: ReadonlyArray<{ readonly standardError: number }>) =>
      all.reduce((sum, { standardError }) => sum + standardError, 0) / all.length
    const few = repetitions(100, (seed) => measure(64, seed))
    assert.isBelow(width(few), width(repetitions(100, (seed) => k1(64, seed))) / 4)
  })

  it("cover more often where prompts differ much and each is asked alike: never less than they say", () => {
    const { exact, measure, prompts } = worldOf(8, 1.5)
    assert.isAbove(Math.max(...prompts), 3 * Math.min(...prompts))
    assert.isAtLeast(covered(repetitions(1000, (seed) => measure(32, seed)), exact), 0.95)
  })

  it("max over prompts lies above the true one on average, p95 too here, and both come down with more samples", () => {
    const { measure, prompts } = worldOf(24, 0.7)
    const sorted = Float64Array.from(prompts).sort()
    const exact = { p95: sorted[Math.ceil(0.95 * 24) - 1]!, max: sorted[23]! }
    const mean = (all: ReadonlyArray<KlMeasured>, of: "p95" | "max") =>
      all.reduce((sum, one) => sum + one[of]!, 0) / all.length
    const [few, many] = [
      repetitions(500, (seed) => measure(24 * 4, seed)),
      repetitions(60, (seed) => measure(24 * 128, seed))
    ]
    for (const  of of["p95", "max"] as const) {
      assert.isAbove(mean(few, of), exact[of])
      assert.isAbove(mean(many, of), 0.97 * exact[of])
      assert.isBelow(mean(many, of) - exact[of], 0.5 * (mean(few, of) - exact[of]))
    }
  })

  it("of a transformer: 300 repetitions against the KL of all completions of up to 3 of 5 tokens", () => {
    const config = { ...variants["Llama, GQA, tied"]!, vocab_size: 5, num_hidden_layers: 1 }
    const engine = transformer(reference())
    const [policy, initial] = ["policy", "initial"].map((seed) => engine.policy(randomWeights(config, seed)))
    const [prompts, stop, maxNewTokens] = [[Int32Array.of(1, 3, 4)], [2], 3]
    const every = (head: ReadonlyArray<number> = []): ReadonlyArray<ReadonlyArray<number>> =>
      head.length === maxNewTokens || head.at(-1) === 2
        ? [head]
        : [0, 1, 2, 3, 4].flatMap((token) => every([...head, token]))
    const rows = prompts.flatMap((prompt) =>
      every().map((completion): Row => ({ prompt, completion: Int32Array.from(completion) }))
    )
    const logpsOf = (of: Policy): ReadonlyArray<number> => {
      const { logps, offsets } = of.logprobs(rows)
      return rows.map((_, i) => logps.slice(offsets[i]!, offsets[i + 1]!).reduce((sum, x) => sum + x, 0))
    }
    const [p, q] = [logpsOf(policy!), logpsOf(initial!)]
    assert.closeTo(p.reduce((sum, x) => sum + Math.exp(x), 0), prompts.length, 1e-5)
    const share = p.map((x) => Math.exp(x) / prompts.length)
    const exact = share.reduce((sum, x, i) => sum + x * (p[i]! - q[i]!), 0)
    const perToken = exact / share.reduce((sum, x, i) => sum + x * rows[i]!.completion.length, 0)
    assert.isAbove(exact, 0.1)
    const all = repetitions(
      300,
      (seed) => measureKl(policy!, initial!, prompts, { samples: 32, maxNewTokens, stop, seed })
    )
    // The samples are so alike that the least error bar is theirs: it covers more often, of this quantity alone.
    for (const  of of[1, 1.4, 0.7]) {
      for (const share of [covered(all, of * exact), covered(all, of * perToken, tokenwise)]) {
        if (of === 1) assert.isAtLeast(share, 0.95)
        else assert.isBelow(share, 0.05)
      }
    }
  })

  it("see a token of 2 % that the initial model all but excludes without sampling it, and not what comes after it", () => {
    // A log-ratio of 20, which 32 samples of k1 miss with probability .98³² = .52.
    const [p, q] = [[0.98, 0.02], [1 - 0.02 * Math.exp(-20), 0.02 * Math.exp(-20)]]
    const logs = (of: ReadonlyArray<number>) => Float64Array.from(of, Math.log)
    const exact = 0.02 * 20 + 0.98 * Math.log(0.98)
    assert.closeTo(klBetween(logs(p!), logs(q!)), exact, 1e-6)
    // Were it the token after it, 32 samples would agree on 0 as often.
    assert.isAbove(0.98 ** 32, 0.5)
    assert.isBelow(ofMean(0, 0, 32)!.high, exact)
  })
})

describe("the intervals themselves", () => {
  it("Student's t as in the tables, normal for many, and none of one number", () => {
    for (const [degrees, t] of [[1, 12.706], [2, 4.303], [7, 2.365], [31, 2.04], [255, 1.969], [1e5, 1.96]] as const) {
      assert.closeTo(tQuantile(degrees), t, 5e-4)
    }
    assert.isNull(ofMean(1, Number.NaN, 1))
    assert.deepStrictEqual(ofMean(1, 0, 8), { low: 1, high: 1 })
  })

  it("the incomplete beta function is the tail of a binomial", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.nat(),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (n, k, p) => {
          const from = 1 + k % n
          let [term, tail] = [(1 - p) ** n, 0]
          for (let i = 0; i <= n; i++) {
            if (i >= from) tail += term
            term *= (n - i) / (i + 1) * p / (1 - p)
          }
          assert.closeTo(incompleteBeta(p, from, n - from + 1), tail, 1e-11)
        }
      )
    )
  })

  it("of a share covers at least at its level, for every share, by enumeration", () => {
    for (const n of [1, 5, 20, 60]) {
      const intervals = Array.from({ length: n + 1 }, (_, k) => ofShare(k, n))
      for (let p = 0.005; p < 1; p += 0.005) {
        let [term, covered] = [(1 - p) ** n, 0]
        for (let k = 0; k <= n; k++) {
          if (intervals[k]!.low <= p && p <= intervals[k]!.high) covered += term
          term *= (n - k) / (k + 1) * p / (1 - p)
        }
        assert.isAtLeast(covered, 0.95 - 1e-9, `n ${n}, p ${p}`)
      }
    }
    assert.closeTo(ofShare(3, 10).low, 0.0667, 1e-4)
    assert.closeTo(ofShare(3, 10).high, 0.6525, 1e-4)
    assert.deepStrictEqual([ofShare(0, 20).low, ofShare(20, 20).high], [0, 1])
  })
})
