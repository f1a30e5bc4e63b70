/** What is true of divergences between policies, by enumeration: which of them add up over stages, and which do not. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Exact from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { kl } from "../../src/losses/kl.ts"
import { everyRow, randomPolicy, worlds } from "../../src/testing/worlds.ts"

const three = fc.record({ world: worlds, key: fc.string({ maxLength: 4 }) }).map(({ key, world }) => {
  const of = (name: string) => Exact.logDistribution(world, randomPolicy(world, `${key}/${name}`))
  return { key, world, p: of("p"), q: of("q"), r: of("r"), s: of("s") }
})
const orders = fc.oneof(fc.double({ min: 0.05, max: 8, noNaN: true }), fc.constantFrom(1, Infinity))
const map2 = (a: Exact.Table, b: Exact.Table, f: (x: number, y: number) => number): Exact.Table =>
  a.map((row, p) => row.map((x, n) => f(x, b[p]![n]!)))
const largest = ({ prompts }: Exact.ExactStatistic): number => Math.max(...prompts)

describe("KL", () => {
  it("invariant 1: is jointly convex", () => {
    fc.assert(fc.property(three, fc.double({ min: 0, max: 1, noNaN: true }), ({ p, q, r, s }, t) => {
      const mixed = (a: Exact.Table, b: Exact.Table) =>
        map2(a, b, (x, y) => Math.log(t * Math.exp(x) + (1 - t) * Math.exp(y)))
      const [left, right] = [
        Exact.kl(mixed(p, r), mixed(q, s)),
        t * Exact.kl(p, q).mean + (1 - t) * Exact.kl(r, s).mean
      ]
      assert.isAtMost(left.mean, right + 1e-12)
    }))
  })

  it("invariant 1: does not change when outcomes are renamed, and falls when they are told apart less", () => {
    fc.assert(fc.property(three, fc.nat({ max: 20 }), ({ p, q }, shift) => {
      const renamed = (of: Exact.Table) => of.map((row) => row.map((_, n) => row[(n + shift) % row.length]!))
      assert.closeTo(Exact.kl(renamed(p), renamed(q)).mean, Exact.kl(p, q).mean, 1e-12)
      // The first outcome, and all others as one.
      const coarse = (of: Exact.Table) =>
        of.map((row) => Float64Array.of(row[0]!, Math.log(row.slice(1).reduce((sum, x) => sum + Math.exp(x), 0))))
      assert.isAtMost(Exact.kl(coarse(p), coarse(q)).mean, Exact.kl(p, q).mean + 1e-12)
    }))
  })

  it("invariant 7: log-ratios of stages, summed over tokens, telescope to the direct one, completion by completion", () => {
    fc.assert(fc.property(three, ({ key, world, ...tables }) => {
      const rows = everyRow(world)
      const logpsOf = (name: string) => tabular(world).policy(randomPolicy(world, `${key}/${name}`)).logprobs(rows)
      const [p, q, r] = [logpsOf("p"), logpsOf("q"), logpsOf("r")]
      const between = (a: typeof p, b: typeof p) => kl(a.logps, b.logps, p.offsets, "k1").sequences
      const [first, second] = [between(q, r), between(p, q)]
      const direct = tables.p.flatMap((row, i) => Array.from(row, (x, n) => x - tables.r[i]![n]!))
      direct.forEach((x, i) => assert.closeTo(first[i]! + second[i]!, x, 1e-9))
    }))
  })

  it("invariants 5, 6: adds up over stages neither by itself nor by its root: Bernoulli .5 → .1 → .01", () => {
    const bernoulli = (p: number): Exact.Table => [Float64Array.of(Math.log(p), Math.log(1 - p))]
    const [start, middle, end] = [bernoulli(0.5), bernoulli(0.1), bernoulli(0.01)]
    const [first, second, direct] = [Exact.kl(middle, start), Exact.kl(end, middle), Exact.kl(end, start)].map((
      { mean }
    ) => mean)
    assert.isAbove(direct!, first! + second!)
    // The same three outcomes are no counterexample to what does add.
    const most = (a: Exact.Table, b: Exact.Table) => Exact.renyi(a, b, Infinity).mean
    assert.isAtMost(most(end, start), most(end, middle) + most(middle, start) + 1e-12)
  })
})

describe("Rényi divergence", () => {
  it("by hand", () => {
    const [p, q] = [[Float64Array.of(Math.log(0.75), Math.log(0.25))], [Float64Array.of(Math.log(0.5), Math.log(0.5))]]
    // Order 2: log(.75² / .5 + .25² / .5) = log 1.25; order ∞: log 1.5; order 1/2: −2 log(√.375 + √.125).
    assert.closeTo(Exact.renyi(p, q, 2).mean, Math.log(1.25), 1e-15)
    assert.closeTo(Exact.renyi(p, q, Infinity).mean, Math.log(1.5), 1e-15)
    assert.closeTo(Exact.renyi(p, q, 0.5).mean, -2 * Math.log(Math.sqrt(0.375) + Math.sqrt(0.125)), 1e-15)
  })

  it("invariant 5: does not fall with its order, from one side of KL to the other", () => {
    fc.assert(fc.property(three, orders, orders, ({ p, q }, a, b) => {
      const [low, high] = [Exact.renyi(p, q, Math.min(a, b)), Exact.renyi(p, q, Math.max(a, b))]
      low.prompts.forEach((x, i) => assert.isAtMost(x, high.prompts[i]! + 1e-9))
      assert.closeTo(Exact.renyi(p, q, 1 + 1e-6).mean, Exact.kl(p, q).mean, 1e-4)
    }))
  })

  it("invariant 5: of order ∞ obeys the triangle inequality, so that the sum over stages is a bound, on KL too", () => {
    fc.assert(fc.property(three, ({ p, q, r }) => {
      const most = (a: Exact.Table, b: Exact.Table) => Exact.renyi(a, b, Infinity)
      const [first, second, direct] = [most(q, r), most(p, q), most(p, r)]
      direct.prompts.forEach((x, i) => assert.isAtMost(x, first.prompts[i]! + second.prompts[i]! + 1e-12))
      assert.isAtMost(Exact.kl(p, r).mean, largest(first) + largest(second) + 1e-12)
    }))
  })
})
