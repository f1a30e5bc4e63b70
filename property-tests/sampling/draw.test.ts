import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { distribution, draw } from "../../src/sampling/draw.ts"
import { stream } from "../../src/sampling/random.ts"

const plain = { temperature: 1, topK: 0, topP: 1 }
const vocab = 7
const logits = fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: vocab, maxLength: vocab })
  .map((xs) => Float64Array.from(xs))
const tied = fc.array(fc.constantFrom(0, 1, 2), { minLength: vocab, maxLength: vocab }).map((xs) =>
  Float64Array.from(xs)
)
const temperatures = fc.double({ min: 0.1, max: 5, noNaN: true })
const topPs = fc.double({ min: 0.01, max: 0.99, noNaN: true })
const total = (xs: Float64Array): number => xs.reduce((sum, x) => sum + x, 0)
const entropy = (probs: Float64Array): number => probs.reduce((sum, p) => p === 0 ? sum : sum - p * Math.log(p), 0)
const kept = (probs: Float64Array): Array<number> => Array.from(probs.keys()).filter((i) => probs[i]! > 0)
const assertClose = (a: Float64Array, b: Float64Array, tolerance: number): void =>
  a.forEach((x, i) => assert.closeTo(x, b[i]!, tolerance, `token ${i}`))

describe("distribution", () => {
  it("by hand", () => {
    // Weights 4, 2, 1, 1 of 8.
    const z = Float64Array.from([4, 2, 1, 1], Math.log)
    assertClose(distribution(z, plain), Float64Array.of(1 / 2, 1 / 4, 1 / 8, 1 / 8), 1e-15)
    // Temperature 1/2 squares the weights: 16, 4, 1, 1 of 22.
    const squared = distribution(z, { ...plain, temperature: 0.5 })
    assertClose(squared, Float64Array.of(16 / 22, 4 / 22, 1 / 22, 1 / 22), 1e-15)
    assertClose(distribution(z, { ...plain, topK: 3 }), Float64Array.of(4 / 7, 2 / 7, 1 / 7, 0), 1e-15)
    assertClose(distribution(z, { ...plain, topP: 0.6 }), Float64Array.of(2 / 3, 1 / 3, 0, 0), 1e-15)
    // Exactly p is enough.
    assertClose(distribution(Float64Array.of(0, 0), { ...plain, topP: 0.5 }), Float64Array.of(1, 0), 0)
    // After top-k 2 the first token has 2/3 of the mass, which is already 0.6.
    assertClose(distribution(z, { temperature: 1, topK: 2, topP: 0.6 }), Float64Array.of(1, 0, 0, 0), 1e-15)
  })

  it("invariant 31: sums to 1 whatever the sampling; adding a constant to the logits changes nothing", () => {
    fc.assert(fc.property(logits, temperatures, fc.nat(9), topPs, (z, temperature, topK, topP) => {
      const sampling = { temperature, topK, topP }
      assert.closeTo(total(distribution(z, sampling)), 1, 1e-12)
      assertClose(distribution(z.map((x) => x + 100), plain), distribution(z, plain), 1e-12)
    }))
  })

  it("invariant 31: large logits stay finite", () => {
    assertClose(distribution(Float64Array.of(1e5, 1e5, -1e5), plain), Float64Array.of(0.5, 0.5, 0), 0)
    assertClose(distribution(Float32Array.of(0, -Infinity), plain), Float64Array.of(1, 0), 0)
  })

  it("invariant 31: T → 0 is greedy, T = 0 is exactly that, with the lowest id of equals; T → ∞ is uniform", () => {
    fc.assert(fc.property(tied, (z) => {
      const best = z.indexOf(Math.max(...z))
      const greedy = distribution(z, { ...plain, temperature: 0 })
      assert.deepStrictEqual(kept(greedy), [best])
      const cold = distribution(z, { ...plain, temperature: 1e-3 })
      const winners = Array.from(z).filter((x) => x === z[best]).length
      assert.closeTo(cold[best]!, 1 / winners, 1e-12)
      assertClose(distribution(z, { ...plain, temperature: 1e9 }), new Float64Array(vocab).fill(1 / vocab), 1e-8)
    }))
  })

  it("invariant 31: entropy does not fall as the temperature rises", () => {
    fc.assert(fc.property(logits, temperatures, temperatures, (z, a, b) => {
      const at = (temperature: number): number => entropy(distribution(z, { ...plain, temperature }))
      assert.isAtMost(at(Math.min(a, b)), at(Math.max(a, b)) + 1e-12)
    }))
  })

  it("invariant 31: top-k = V, top-k = 0 and top-p = 1 are the identity; top-k = 1 is greedy; k tokens stay, the likeliest", () => {
    fc.assert(fc.property(fc.oneof(logits, tied), fc.integer({ min: 1, max: vocab }), (z, topK) => {
      assert.deepStrictEqual(distribution(z, { ...plain, topK: vocab }), distribution(z, plain))
      assertClose(
        distribution(z, { ...plain, topK: 1 }),
        distribution(z, { ...plain, temperature: 0 }),
        0
      )
      const ids = kept(distribution(z, { ...plain, topK }))
      assert.strictEqual(ids.length, topK)
      const least = Math.min(...ids.map((i) => z[i]!))
      const dropped = Array.from(z.keys()).filter((i) => !ids.includes(i))
      // A dropped token is less likely, or as likely and with a higher id.
      const last = Math.max(...ids.filter((i) => z[i] === least))
      assert.isTrue(dropped.every((i) => z[i]! < least || z[i] === least && i > last))
    }))
  })

  it("invariant 31: top-p keeps at least p of the mass, and no token fewer would", () => {
    fc.assert(fc.property(fc.oneof(logits, tied), topPs, (z, topP) => {
      const all = distribution(z, plain)
      const ids = kept(distribution(z, { ...plain, topP }))
      const mass = ids.reduce((sum, i) => sum + all[i]!, 0)
      assert.isAtLeast(mass, topP - 1e-12)
      assert.isBelow(mass - Math.min(...ids.map((i) => all[i]!)), topP + 1e-12)
      const least = Math.min(...ids.map((i) => all[i]!))
      assert.isTrue(all.every((p, i) => ids.includes(i) || p <= least))
    }))
  })

  it("truncation keeps the proportions of what it keeps", () => {
    fc.assert(fc.property(logits, fc.nat(7), topPs, (z, topK, topP) => {
      const [all, some] = [distribution(z, plain), distribution(z, { temperature: 1, topK, topP })]
      const mass = kept(some).reduce((sum, i) => sum + all[i]!, 0)
      kept(some).forEach((i) => assert.closeTo(some[i]! * mass, all[i]!, 1e-12))
    }))
  })

  it("NaN logits come through", () => {
    assert.isTrue(distribution(Float64Array.of(0, NaN), plain).every((p) => Number.isNaN(p)))
  })
})

describe("draw", () => {
  it("by hand: the cumulative sums 0.25, 0.25, 0.75, 1 cut [0, 1)", () => {
    const probs = Float64Array.of(0.25, 0, 0.5, 0.25)
    assert.deepStrictEqual([0, 0.24, 0.25, 0.74, 0.75, 0.999].map((u) => draw(probs, u)), [0, 0, 2, 2, 3, 3])
  })

  it("never draws a token of probability 0, even where rounding leaves the total below 1", () => {
    const almostOne = 1 - 2 ** -53
    assert.strictEqual(draw(Float64Array.of(0, 0.5, 0.4999, 0), almostOne), 2)
    assert.strictEqual(draw(Float64Array.of(0, 1), 0), 1)
  })

  it("frequencies follow the probabilities (chi-square, 3 degrees of freedom, 99.9 % below 16.27)", () => {
    const probs = Float64Array.of(0.1, 0.2, 0.3, 0.4)
    const [n, counts, random] = [20_000, [0, 0, 0, 0], stream("draw test")]
    for (let i = 0; i < n; i++) counts[draw(probs, random.next())]!++
    const chiSquare = counts.reduce((sum, count, i) => sum + (count - n * probs[i]!) ** 2 / (n * probs[i]!), 0)
    assert.isBelow(chiSquare, 16.27)
  })
})
