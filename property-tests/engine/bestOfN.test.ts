/** Best-of-n and acceptance on a world where their laws can be enumerated. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Exact from "../../src/engine/tabular/exact.ts"
import type { Table } from "../../src/engine/tabular/exact.ts"
import type { World } from "../../src/engine/tabular/world.ts"
import * as Bounds from "../../src/ledger/bounds.ts"
import { bestOfNWeights } from "../../src/sampling/bestOfN.ts"
import { stream } from "../../src/sampling/random.ts"
import { randomPolicy, worlds } from "./tabularWorlds.ts"

const nats = ({ mnats }: Bounds.Bound): number => mnats! / 1000
const sizes = fc.integer({ min: 1, max: 40 })
const few = { numRuns: 60 }

/** A world, a policy on it, and a reward: all different, or in few steps so that there are ties. */
const cases = fc.record({ any: worlds, key: fc.string({ maxLength: 4 }), ties: fc.boolean() }).map(
  ({ any, key, ties }) => {
    const random = stream(`${key}/reward`)
    const logps = Exact.logDistribution(any, randomPolicy(any, key, 2))
    const reward = Exact.rewardTable(any, () => ties ? random.int(3) : random.normal())
    return { any, logps, reward }
  }
)

const close = (actual: number, expected: number, tolerance = 1e-10) =>
  assert.isAtMost(
    Math.abs(actual - expected),
    tolerance * Math.max(1, Math.abs(expected)),
    `${actual} is not ${expected}`
  )
const sameLaw = (a: Table, b: Table) =>
  a.forEach((of, p) => of.forEach((x, i) => close(Math.exp(x), Math.exp(b[p]![i]!))))

/** Every sequence of `n` completion numbers. */
const tuples = (count: number, n: number): ReadonlyArray<ReadonlyArray<number>> =>
  n === 0 ? [[]] : tuples(count, n - 1).flatMap((head) => Array.from({ length: count }, (_, i) => [...head, i]))

/** P(best = y) by drawing every possible n completions, ties shared equally among those drawn. */
const enumerated = (logps: Float64Array, reward: Float64Array, n: number): Float64Array => {
  const law = new Float64Array(logps.length)
  for (const drawn of tuples(logps.length, n)) {
    const probability = Math.exp(drawn.reduce((sum, i) => sum + logps[i]!, 0))
    const top = Math.max(...drawn.map((i) => reward[i]!))
    const best = drawn.filter((i) => reward[i] === top)
    for (const i of best) law[i]! += probability / best.length
  }
  return law
}

describe("best-of-n on the tabular engine", () => {
  it("invariant 10: its law is Fⁿ − F⁻ⁿ with ties shared: what drawing every n completions gives", () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 3 }), ({ logps, reward }, n) => {
        const few = logps.findIndex((of) => of.length ** n <= 4000)
        fc.pre(few >= 0)
        const law = Exact.bestOfN(logps, reward, n)[few]!
        enumerated(logps[few]!, reward[few]!, n).forEach((p, i) => close(Math.exp(law[i]!), p))
      }),
      few
    )
  })

  it("invariant 10: n = 1 is the policy, and every law sums to 1", () => {
    fc.assert(
      fc.property(cases, sizes, ({ logps, reward }, n) => {
        sameLaw(Exact.bestOfN(logps, reward, 1), logps)
        for (const of of Exact.bestOfN(logps, reward, n)) close(of.reduce((sum, x) => sum + Math.exp(x), 0), 1)
      }),
      few
    )
  })

  it("invariant 10: KL ≤ log n − (n − 1)/n, KL ≤ −log π(argmax), D∞ ≤ log n", () => {
    let tight = 0
    fc.assert(
      fc.property(cases, sizes, ({ logps, reward }, n) => {
        const law = Exact.bestOfN(logps, reward, n)
        const kl = Exact.kl(law, logps)
        assert.isAtMost(kl.max, Bounds.klOfBestOfN(n) + 1e-9)
        assert.isAtMost(Exact.maxDivergence(law, logps).max, nats(Bounds.bestOfN(n)) + 1e-9)
        kl.prompts.forEach((nats, p) => {
          const best = Math.max(...reward[p]!)
          const argmax = logps[p]!.reduce((sum, x, i) => reward[p]![i] === best ? sum + Math.exp(x) : sum, 0)
          assert.isAtMost(nats, -Math.log(argmax) + 1e-9)
          if (n === 2 && nats > 0.9 * Bounds.klOfBestOfN(n)) tight++
        })
      }),
      { numRuns: 200, seed: 3 }
    )
    assert.isAbove(tight, 0, "the bound was never nearly reached")
  })

  it("invariant 10: KL and the expected reward grow with n", () => {
    fc.assert(
      fc.property(cases, sizes, ({ logps, reward }, n) => {
        const [now, next] = [Exact.bestOfN(logps, reward, n), Exact.bestOfN(logps, reward, n + 1)]
        Exact.kl(next, logps).prompts.forEach((x, p) => {
          assert.isAtLeast(x, Exact.kl(now, logps).prompts[p]! - 1e-10)
        })
        Exact.expectedReward(next, reward).prompts.forEach((x, p) => {
          assert.isAtLeast(x, Exact.expectedReward(now, reward).prompts[p]! - 1e-10)
        })
      }),
      few
    )
  })

  it("invariant 10: best of m of best of n is best of mn", () => {
    fc.assert(
      fc.property(cases, sizes, sizes, ({ logps, reward }, m, n) => {
        sameLaw(Exact.bestOfN(Exact.bestOfN(logps, reward, n), reward, m), Exact.bestOfN(logps, reward, m * n))
      }),
      few
    )
  })

  it("invariant 10: a strictly increasing transform of the reward changes nothing", () => {
    fc.assert(
      fc.property(cases, sizes, ({ logps, reward }, n) => {
        const stretched = reward.map((of) => of.map((r) => Math.exp(r) - 7))
        sameLaw(Exact.bestOfN(logps, stretched, n), Exact.bestOfN(logps, reward, n))
      }),
      few
    )
  })

  it("the published values of log n − (n − 1)/n", () => {
    for (const [n, nats] of [[2, 0.1931], [4, 0.6363], [16, 1.8351], [64, 3.1745], [1024, 5.9324]] as const) {
      assert.strictEqual(Bounds.klOfBestOfN(n).toFixed(4), nats.toFixed(4))
    }
  })
})

describe("estimating best-of-n from N candidates", () => {
  /** Σ over every N draws of P(draws) × weight: the law that the weights estimate. */
  const expected = (logps: Float64Array, reward: Float64Array, total: number, n: number): Float64Array => {
    const law = new Float64Array(logps.length)
    for (const drawn of tuples(logps.length, total)) {
      const probability = Math.exp(drawn.reduce((sum, i) => sum + logps[i]!, 0))
      bestOfNWeights(drawn.map((i) => reward[i]!), n).forEach((w, i) => {
        law[drawn[i]!]! += probability * w
      })
    }
    return law
  }

  it("is unbiased for every n ≤ N: the expectation of the weights is the law itself", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 4 }), fc.boolean(), (key, n, ties) => {
        const random = stream(key)
        const masses = Array.from({ length: 4 }, () => 0.1 + random.next())
        const total = masses.reduce((a, b) => a + b, 0)
        const logps = Float64Array.from(masses, (m) => Math.log(m / total))
        const reward = Float64Array.from(masses, () => ties ? random.int(2) : random.normal())
        const law = Exact.bestOfN([logps], [reward], n)[0]!
        expected(logps, reward, 4, n).forEach((p, i) => close(p, Math.exp(law[i]!)))
      }),
      { numRuns: 40 }
    )
  })

  it("weights are a distribution, uniform for n = 1 and on the best for n = N", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 30 }), fc.nat(), (scores, k) => {
        const n = 1 + k % scores.length
        close(bestOfNWeights(scores, n).reduce((a, b) => a + b, 0), 1)
        bestOfNWeights(scores, 1).forEach((w) => close(w, 1 / scores.length))
        const top = Math.max(...scores)
        const best = scores.filter((s) => s === top).length
        bestOfNWeights(scores, scores.length).forEach((w, i) => close(w, scores[i] === top ? 1 / best : 0))
      })
    )
    assert.throws(() => bestOfNWeights([1, 2], 3), /best of 3 needs at least 3 candidates, not 2/)
  })
})

describe("an accept filter", () => {
  it("invariant 11: KL = D∞ = −log p_accept, for each prompt", () => {
    let kept = 0
    fc.assert(
      fc.property(cases, fc.double({ min: -2, max: 2, noNaN: true }), ({ logps, reward }, atLeast) => {
        const { logAccept, logps: law } = Exact.accepted(logps, reward, atLeast)
        law.forEach((of, p) => {
          if (logAccept[p] === -Infinity) return
          kept++
          close(Exact.kl([of], [logps[p]!]).mean, -logAccept[p]!, 1e-9)
          close(Exact.maxDivergence([of], [logps[p]!]).max, -logAccept[p]!, 1e-9)
          // The bound is the next whole number of milli-nats.
          const above = nats(Bounds.acceptFilter(Math.exp(logAccept[p]!))) + logAccept[p]!
          assert.isTrue(above > -1e-9 && above < 1e-3 + 1e-9, `${above}`)
        })
      }),
      few
    )
    assert.isAbove(kept, 50)
  })
})

describe("composition over stages", () => {
  const bernoulli = (p: number): Table => [Float64Array.of(Math.log(p), Math.log(1 - p))]

  it("invariant 6: the sum of stage KLs is NOT a bound: Bernoulli ½ → 0.1 → 0.01", () => {
    const [p, q, r] = [bernoulli(0.5), bernoulli(0.1), bernoulli(0.01)]
    assert.strictEqual(Exact.kl(p, r).mean.toFixed(4), "1.6145")
    assert.strictEqual(Exact.kl(p, q).mean.toFixed(4), "0.5108")
    assert.strictEqual(Exact.kl(q, r).mean.toFixed(4), "0.1445")
    assert.isAbove(Exact.kl(p, r).mean, Exact.kl(p, q).mean + Exact.kl(q, r).mean)
    assert.strictEqual(Math.sqrt(Exact.kl(p, r).mean).toFixed(4), "1.2706")
    assert.isAbove(
      Math.sqrt(Exact.kl(p, r).mean),
      Math.sqrt(Exact.kl(p, q).mean) + Math.sqrt(Exact.kl(q, r).mean)
    )
  })

  it("invariant 6: sums of D∞ are a bound, on KL too, over chains of random policies", () => {
    fc.assert(
      fc.property(worlds, fc.string(), fc.integer({ min: 1, max: 5 }), (any: World, key, stages) => {
        const chain = Array.from(
          { length: stages + 1 },
          (_, i) => Exact.logDistribution(any, randomPolicy(any, `${key}/${i}`, 2))
        )
        const links = chain.slice(1).map((of, i) => Exact.maxDivergence(of, chain[i]!))
        const whole = Exact.maxDivergence(chain.at(-1)!, chain[0]!)
        whole.prompts.forEach((d, p) => {
          const sum = nats(Bounds.chain(...links.map(({ prompts }) => Bounds.boundOf(prompts[p]!))))
          assert.isAtMost(d, sum + 1e-9)
          assert.isAtMost(Exact.kl(chain.at(-1)!, chain[0]!).prompts[p]!, sum + 1e-9)
        })
      }),
      few
    )
  })

  it("invariant 6: best-of-n, then accept, then a tilt stay within the sum of their caps known beforehand", () => {
    fc.assert(
      fc.property(cases, sizes, fc.double({ min: 0.2, max: 3, noNaN: true }), ({ logps, reward }, n, beta) => {
        const best = Exact.bestOfN(logps, reward, n)
        const threshold = Math.min(...reward.map((of) => Math.max(...of)))
        const { logAccept, logps: kept } = Exact.accepted(best, reward, threshold)
        const { logps: tilted } = Exact.optimum(kept, reward, beta)
        const whole = Exact.maxDivergence(tilted, logps)
        whole.prompts.forEach((d, p) => {
          const span = Math.max(...reward[p]!) - Math.min(...reward[p]!)
          const bounds = [
            Bounds.bestOfN(n),
            Bounds.acceptFilter(Math.exp(logAccept[p]!)),
            Bounds.tilt(span, beta)
          ]
          assert.isAtMost(d, nats(Bounds.chain(...bounds)) + 1e-9)
        })
      }),
      few
    )
  })
})

describe("caps as a budget", () => {
  const amounts = fc.array(fc.integer({ min: 0, max: 1000 }).map((mnats) => Bounds.boundOf(mnats / 1000)), {
    maxLength: 5
  })

  it("invariant 43: andThen adds, nothing costs nothing, and in parallel the furthest part counts", () => {
    fc.assert(
      fc.property(amounts, amounts, (a, b) => {
        const { chain, either, still } = Bounds
        assert.deepStrictEqual(chain(...a, ...b), chain(chain(...a), chain(...b)))
        assert.strictEqual(chain(...a).mnats, a.reduce((sum, { mnats }) => sum + mnats!, 0))
        assert.deepStrictEqual(chain(), still)
        assert.deepStrictEqual(either(...a, ...b), either(either(...a), either(...b)))
        assert.strictEqual(either(...a).mnats, a.reduce((most, { mnats }) => Math.max(most, mnats!), 0))
      })
    )
  })

  it("invariant 43: an output mixture is no further than the average of its parts' KLs, nor in D∞ than the furthest", () => {
    fc.assert(
      fc.property(worlds, fc.string(), fc.double({ min: 0, max: 1, noNaN: true }), (any, key, w) => {
        const of = (name: string) => Exact.logDistribution(any, randomPolicy(any, `${key}/${name}`, 2))
        const [a, b, reference] = [of("a"), of("b"), of("reference")]
        const mixture = a.map((x, p) =>
          x.map((logp, i) => Math.log(w * Math.exp(logp) + (1 - w) * Math.exp(b[p]![i]!)))
        )
        const kl = (table: Table) => Exact.kl(table, reference).mean
        assert.isAtMost(kl(mixture), w * kl(a) + (1 - w) * kl(b) + 1e-9)
        const far = (table: Table) => Exact.maxDivergence(table, reference).max
        assert.isAtMost(far(mixture), nats(Bounds.either(Bounds.boundOf(far(a)), Bounds.boundOf(far(b)))) + 1e-9)
      }),
      few
    )
  })
})
