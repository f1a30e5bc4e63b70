import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { stream } from "../../src/sampling/random.ts"

const draws = 40_000

/** Pearson's χ² of counts against equal expectations. */
const chiSquare = (counts: ReadonlyArray<number>): number => {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

describe("stream", () => {
  it("is a function of its key", () => {
    fc.assert(fc.property(fc.string(), (key) => {
      const take = (): ReadonlyArray<number> => {
        const { int, next, normal, shuffle } = stream(key)
        return [next(), normal(), normal(), int(7), ...shuffle([1, 2, 3, 4, 5]), next()]
      }
      assert.deepEqual(take(), take())
    }))
  })

  // Written down once, so that a change of the generator (and with it of every training run) cannot go unnoticed.
  it("gives the numbers it always gave", () => {
    const { next } = stream("keel")
    assert.deepEqual([next(), next(), next()], golden)
  })

  it("gives unrelated streams for different keys, near ones too", () => {
    const first = new Set<number>()
    for (let i = 0; i < draws; i++) first.add(stream(`node/${i}`).next())
    assert.strictEqual(first.size, draws)
    const counts = new Array<number>(64).fill(0)
    for (const value of first) counts[Math.floor(value * 64)]!++
    // 63 degrees of freedom: mean 63, standard deviation 11.2.
    assert.isBelow(chiSquare(counts), 63 + 5 * 11.2)
    for (const [a, b] of [["0", "1"], ["a/b", "b/a"], ["x", "x "], ["", "\0"]] as const) {
      const [left, right] = [stream(a), stream(b)]
      let product = 0
      for (let i = 0; i < draws; i++) product += (left.next() - 0.5) * (right.next() - 0.5)
      // The correlation of independent streams has standard deviation 1/√n.
      assert.isBelow(Math.abs((product * 12) / draws), 5 / Math.sqrt(draws), `${a} ${b}`)
    }
  })

  it("is uniform on [0, 1), pairs too", () => {
    const { next } = stream("uniform")
    const single = new Array<number>(100).fill(0)
    const pairs = new Array<number>(100).fill(0)
    let before = next()
    for (let i = 0; i < draws; i++) {
      const value = next()
      assert.isTrue(value >= 0 && value < 1 && Number.isInteger(value * 2 ** 53))
      single[Math.floor(value * 100)]!++
      pairs[Math.floor(before * 10) * 10 + Math.floor(value * 10)]!++
      before = value
    }
    // 99 degrees of freedom: mean 99, standard deviation 14.1.
    assert.isBelow(chiSquare(single), 99 + 5 * 14.1)
    assert.isBelow(chiSquare(pairs), 99 + 5 * 14.1)
  })

  it("has all 53 bits", () => {
    const { next } = stream("bits")
    const ones = new Array<number>(53).fill(0)
    for (let i = 0; i < draws; i++) {
      let value = BigInt(next() * 2 ** 53)
      for (let bit = 0; bit < 53; bit++, value >>= 1n) ones[bit]! += Number(value & 1n)
    }
    for (const count of ones) assert.isBelow(Math.abs(count / draws - 0.5), 5 * 0.5 / Math.sqrt(draws))
  })

  it("has normal numbers with the moments of a standard normal", () => {
    const { normal } = stream("normal")
    const moments = [0, 0, 0, 0]
    for (let i = 0; i < draws; i++) {
      const x = normal()
      for (let k = 0; k < 4; k++) moments[k]! += x ** (k + 1) / draws
    }
    // Standard deviation of the mean of xᵏ: √(E x²ᵏ − (E xᵏ)²) / √n.
    const expected = [0, 1, 0, 3]
    const deviations = [1, Math.sqrt(2), Math.sqrt(15), Math.sqrt(96)]
    moments.forEach((m, k) =>
      assert.isBelow(Math.abs(m - expected[k]!), (5 * deviations[k]!) / Math.sqrt(draws), `moment ${k + 1}`)
    )
  })

  it("draws whole numbers below n evenly and refuses other n", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 53 }), fc.string(), (n, key) => {
      const value = stream(key).int(n)
      assert.isTrue(Number.isInteger(value) && value >= 0 && value < n)
    }))
    const { int } = stream("int")
    const counts = [0, 0, 0, 0, 0, 0, 0]
    for (let i = 0; i < draws; i++) counts[int(7)]!++
    assert.isBelow(chiSquare(counts), 6 + 5 * Math.sqrt(12))
    for (const n of [0, -1, 1.5, NaN, 2 ** 54]) assert.throws(() => int(n), RangeError)
  })

  it("shuffles into every order equally often and leaves its input alone", () => {
    const { shuffle } = stream("shuffle")
    const input = [0, 1, 2, 3]
    const counts = new Map<string, number>()
    for (let i = 0; i < draws; i++) {
      const order = shuffle(input).join("")
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    assert.deepEqual(input, [0, 1, 2, 3])
    assert.strictEqual(counts.size, 24)
    assert.isBelow(chiSquare([...counts.values()]), 23 + 5 * Math.sqrt(46))
  })
})

const golden: ReadonlyArray<number> = [0.05516308883627452, 0.3891739999799747, 0.25545250310735634]
