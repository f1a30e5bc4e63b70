/**
 * The soundness of the ledger's bounds, held against enumeration: random chains of up to 6 steps on random distributions of a few
 * outcomes, every step applied exactly.
 */
import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import * as bounds from "../../src/ledger/bounds.ts"
import { stream } from "../../src/sampling/random.ts"

type Distribution = ReadonlyArray<number>
const normalised = (weights: ReadonlyArray<number>): Distribution => {
  const total = weights.reduce((sum, x) => sum + x, 0)
  return weights.map((x) => x / total)
}
const kl = (p: Distribution, q: Distribution): number =>
  p.reduce((sum, x, i) => x === 0 ? sum : sum + x * Math.log(x / q[i]!), 0)
const dInf = (p: Distribution, q: Distribution): number =>
  Math.max(...p.map((x, i) => x === 0 ? -Infinity : Math.log(x / q[i]!)))
const tv = (p: Distribution, q: Distribution): number => p.reduce((sum, x, i) => sum + Math.abs(x - q[i]!), 0) / 2

/** Best of n by a score: F^n − F₋^n, equal scores sharing in proportion. */
const bestOf = (p: Distribution, score: ReadonlyArray<number>, n: number): Distribution =>
  p.map((x, i) => {
    const below = p.reduce((sum, y, j) => score[j]! < score[i]! ? sum + y : sum, 0)
    const equal = p.reduce((sum, y, j) => score[j] === score[i] ? sum + y : sum, 0)
    return x / equal * ((below + equal) ** n - below ** n)
  })

interface Link {
  readonly after: Distribution
  readonly bound: bounds.Bound
}

const random = stream("ledger/bounds")
const uniform = (): number => random.next()
const of = <A>(all: ReadonlyArray<A>): A => all[random.int(all.length)]!
const weights = (n: number): ReadonlyArray<number> => Array.from({ length: n }, () => uniform() ** 3 + 1e-4)

/** One step of a random kind from `p`; `from` is where the chain began. */
const step = (p: Distribution): Link => {
  const score = p.map(() => Math.round(4 * uniform()))
  switch (of(["bestOfN", "filter", "tilt", "temperature", "mixture"] as const)) {
    case "bestOfN": {
      const n = 1 + random.int(16)
      return { after: bestOf(p, score, n), bound: bounds.bestOfN(n) }
    }
    case "filter": {
      const threshold = of(score)
      const passing = p.map((x, i) => score[i]! >= threshold ? x : 0)
      const accepted = passing.reduce((sum, x) => sum + x, 0)
      return accepted === 0
        ? { after: p, bound: 0 }
        : { after: normalised(passing), bound: bounds.acceptFilter(accepted) }
    }
    case "tilt": {
      const beta = 0.2 + 3 * uniform()
      const after = normalised(p.map((x, i) => x * Math.exp(score[i]! / beta)))
      return { after, bound: bounds.tilt(Math.min(...score), Math.max(...score), beta) }
    }
    case "temperature": {
      const temperature = 0.5 + uniform()
      const after = normalised(p.map((x) => x ** (1 / temperature)))
      const log = (all: Distribution) => all.map(Math.log)
      return { after, bound: bounds.perToken(log(p), log(after), 1) }
    }
    case "mixture": {
      const n = 2 + random.int(6)
      const weight = uniform()
      return {
        after: p.map((x, i) => weight * x + (1 - weight) * bestOf(p, score, n)[i]!),
        bound: bounds.mixture([{ weight, bound: 0 }, { weight: 1 - weight, bound: bounds.bestOfN(n) }])
      }
    }
  }
}

describe("the ledger's bounds", () => {
  it("invariant 5: on 100,000 chains of up to 6 steps no bound is below the truth, for D∞, for KL and for the last step in KL", () => {
    for (let n = 0; n < 100_000; n++) {
      const initial = normalised(weights(2 + random.int(5)))
      let p = initial
      const links: Array<bounds.Bound> = []
      const kls: Array<number> = []
      let before = initial
      for (let i = 1 + random.int(6); i > 0; i--) {
        const { after, bound } = step(p)
        links.push(bound)
        kls.push(kl(after, p))
        before = p
        p = after
      }
      const bound = bounds.chain(...links)!
      if (bound / 1000 < dInf(p, initial) - 1e-9) assert.fail(`D∞ ${dInf(p, initial)} above its bound ${bound / 1000}`)
      if (bound / 1000 < kl(p, initial) - 1e-9) assert.fail(`KL ${kl(p, initial)} above its bound ${bound / 1000}`)
      const mixed = bounds.lastInKl(kls.at(-1)!, bounds.chain(...links.slice(0, -1)))!
      if (mixed < kl(p, initial) - 1e-9) assert.fail(`KL ${kl(p, initial)} above ${mixed}, from ${before.join()}`)
      if (bounds.totalVariation(kls) < tv(p, initial) - 1e-9) assert.fail(`TV ${tv(p, initial)}`)
    }
  })
  it("is tight where it can be: a filter exactly, best of n for a rare best, a tilt with a rare best", () => {
    assert.closeTo(bounds.acceptFilter(0.25)! / 1000, Math.log(4), 1e-3)
    const rare = normalised([1, 1e-6])
    assert.closeTo(dInf(bestOf(rare, [0, 1], 8), rare), bounds.bestOfN(8)! / 1000, 2e-3)
    const tilted = normalised(rare.map((x, i) => x * Math.exp(i / 0.5)))
    assert.closeTo(dInf(tilted, rare), bounds.tilt(0, 1, 0.5)! / 1000, 2e-3)
  })
  it("invariant 6: KLs of stages do not add up to a bound, nor do their roots: Bernoulli .5 → .1 → .01", () => {
    const [p, q, r] = [0.01, 0.1, 0.5].map((x) => [x, 1 - x])
    assert.closeTo(kl(r!, p!), 1.6145, 1e-4)
    assert.closeTo(kl(r!, q!) + kl(q!, p!), 0.5108 + 0.1445, 1e-4)
    assert.isAbove(kl(r!, p!), kl(r!, q!) + kl(q!, p!))
    assert.isAbove(Math.sqrt(kl(r!, p!)), Math.sqrt(kl(r!, q!)) + Math.sqrt(kl(q!, p!)))
    assert.isAtMost(kl(r!, p!), kl(r!, q!) + dInf(q!, p!))
  })
  it("adds in any order to the same sum, and what is unknown stays unknown", () => {
    const link = fc.option(fc.nat({ max: 1e6 }))
    fc.assert(fc.property(link, link, link, (a, b, c) => {
      assert.strictEqual(bounds.chain(bounds.chain(a, b), c), bounds.chain(a, bounds.chain(b, c)))
      assert.strictEqual(bounds.chain(a, b), bounds.chain(b, a))
      if (a === null) assert.isNull(bounds.chain(a, b, c))
    }))
    assert.isNull(bounds.chain(bounds.bestOfN(4), bounds.merge))
    assert.isNull(bounds.tilt(0, 1, 0))
  })
  it("a merge of logits may exceed both parents, which is why it is unknown", () => {
    const reference = [0.485, 0.501, 0.014]
    for (let n = 0; n < 10_000; n++) {
      const [a, b] = [normalised(weights(3)), normalised(weights(3))]
      const merged = normalised(a.map((x, i) => Math.sqrt(x * b[i]!)))
      if (kl(merged, reference) > Math.max(kl(a, reference), kl(b, reference)) + 0.1) return
    }
    assert.fail("no counterexample found")
  })
})
