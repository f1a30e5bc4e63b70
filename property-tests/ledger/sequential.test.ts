/** The test of a cap, and how many samples a measurement takes: the rules alone, on samples whose mean is known. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { meansByPrompt, rank95 } from "../../src/ledger/measure.ts"
import {
  clear,
  enoughFor,
  precise,
  risk,
  type Verdict,
  verdictOf,
  verdictOfRank,
  verdicts
} from "../../src/ledger/sequential.ts"
import { type Random, stream } from "../../src/sampling/random.ts"

type Draw = (random: Random, i: number) => number

/** Samples that are never negative, by their mean. */
const shapes: Readonly<Record<string, (mean: number) => Draw>> = {
  exponential: (mean) => (random) => -mean * Math.log(1 - random.next()),
  "log-normal": (mean) => (random) => mean * Math.exp(random.normal() - 0.5),
  "one in five": (mean) => (random) => random.next() < 0.2 ? 5 * mean : 0,
  "almost alike": (mean) => (random) => mean * (1 + 0.01 * random.normal()),
  // Four prompts in turn, of which one is far away.
  "one far prompt": (mean) => (random, i) => (i % 4 === 0 ? 3.4 : 0.2) * mean * (random.next() + 0.5)
}

/** Samples of a measurement: blocks of `first`, doubled until the verdict is in or there are `most`. */
const tested = (key: string, draw: Draw, of: { cap: number; first: number; most: number }) => {
  const random = stream(key)
  const sequences: Array<number> = []
  for (let goal = of.first;; goal *= 2) {
    while (sequences.length < goal) sequences.push(draw(random, sequences.length))
    const verdict = verdictOf(sequences, of.cap)
    if (verdict !== "undecided" || sequences.length >= of.most) return { verdict, samples: sequences.length }
  }
}

const shareOf = (verdict: Verdict, draw: Draw, cap: number, repetitions: number, first = 64): number =>
  Array.from({ length: repetitions }, (_, i) => tested(`repetition ${i}`, draw, { cap, first, most: 2048 }))
    .filter((one) => one.verdict === verdict).length / repetitions

describe("the test of a cap", () => {
  it("calls a policy at its cap within it with a probability of at most the stated risk, by enumeration, looking at every sample", () => {
    for (const [far, samples] of [[2, 100], [5, 100], [9, 100], [40, 100]] as const) {
      // A sample is `far` caps away with probability 1 / far, and 0 away else: the mean is the cap.
      const found = Array.from({ length: samples + 1 }, () => Array<Verdict | undefined>(samples + 1))
      const verdict = (n: number, k: number): Verdict =>
        found[n]![k] ??= verdictOf(Array.from({ length: n }, (_, i) => i < k ? far : 0), 1)
      let going = new Map([[0, 1]])
      let called = 0
      for (let n = 1; n <= samples; n++) {
        const next = new Map<number, number>()
        for (const [k, p] of going) {
          for (const [more, q] of [[1, 1 / far], [0, 1 - 1 / far]] as const) {
            if (verdict(n, k + more) === "within") called += p * q
            else next.set(k + more, (next.get(k + more) ?? 0) + p * q)
          }
        }
        going = next
      }
      // A completion that no sample met may be farther than any bet counts it.
      if (far <= 9) assert.isAtMost(called, risk)
      else assert.isAbove(called, risk)
    }
  })

  it("lets none of 200 policies pass that are 11 % beyond their caps, and at most 2 at their caps, of whatever shape", () => {
    for (const [name, shape] of Object.entries(shapes)) {
      assert.strictEqual(shareOf("within", shape(1.11), 1, 200), 0, name)
      assert.isAtMost(shareOf("within", shape(1), 1, 200), 2 / 200, name)
    }
  })

  it("tells policies that are far from their caps, within and over, by few samples, and close ones by more", () => {
    for (const [name, shape] of Object.entries(shapes)) {
      assert.isAtLeast(shareOf("within", shape(0.5), 1, 200), 0.99, name)
      assert.isAtLeast(shareOf("over", shape(2), 1, 200), 0.99, name)
    }
    const samples = (mean: number): number =>
      tested("samples", shapes["exponential"]!(mean), { cap: 1, first: 64, most: 1e5 }).samples
    assert.isAtMost(samples(0.01), 128)
    assert.isAtMost(samples(0.5), 512)
    assert.isAbove(samples(0.95), 1000)
  })

  it("is not over after samples that are alike by chance: two, or fifty, tell nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.double({ min: 1e-3, max: 1e3, noNaN: true }), (n, cap) => {
        assert.strictEqual(verdictOf(Array.from({ length: n }, () => 0), cap), "undecided")
      })
    )
    assert.strictEqual(verdictOf(Array.from({ length: 64 }, () => 0.1), 1), "within")
  })

  it("does not depend on the unit, nor on the order of the samples; more distance never helps", () => {
    const samples = fc.array(fc.double({ min: 0, max: 5, noNaN: true }), { minLength: 1, maxLength: 200 })
    const order: ReadonlyArray<Verdict> = ["within", "undecided", "over"]
    fc.assert(
      fc.property(samples, fc.double({ min: 0.1, max: 3, noNaN: true }), fc.nat(), (xs, cap, at) => {
        const verdict = verdictOf(xs, cap)
        assert.strictEqual(verdictOf(xs.map((x) => 1024 * x), 1024 * cap), verdict)
        assert.strictEqual(verdictOf(xs.toReversed(), cap), verdict)
        const more = xs.map((x, i) => i === at % xs.length ? x + 1 : x)
        assert.isAtLeast(order.indexOf(verdictOf(more, cap)), order.indexOf(verdict))
      })
    )
  })

  it("takes samples beyond all numbers for what they are", () => {
    assert.strictEqual(verdictOf(Array.from({ length: 4096 }, () => 1e300), 1e-3), "over")
    assert.strictEqual(verdictOf(Array.from({ length: 100_000 }, () => 0), 1), "within")
    assert.strictEqual(verdictOf([...Array.from({ length: 1000 }, () => 0), 1e9], 1), "undecided")
  })
})

describe("how many samples are enough", () => {
  const alike = (n: number, x: number) => Array.from({ length: n }, () => x)
  const measured = (sequences: ReadonlyArray<number>, prompts = 1) => {
    const mean = sequences.reduce((sum, x) => sum + x, 0) / sequences.length
    const variance = sequences.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (sequences.length - 1)
    return {
      mean,
      standardError: Math.sqrt(variance / sequences.length),
      samples: sequences.length,
      prompts,
      sequences
    }
  }

  it("as many as tell, with an error bar below its share of the cap or a clear side, or the most that it may take", () => {
    fc.assert(
      fc.property(
        fc.record({
          mean: fc.double({ min: 0.01, max: 10, noNaN: true }),
          cap: fc.double({ min: 0.1, max: 10, noNaN: true }),
          first: fc.integer({ min: 2, max: 64 }),
          error: fc.double({ min: 0.05, max: 1, noNaN: true }),
          most: fc.integer({ min: 2, max: 2048 })
        }),
        fc.string(),
        fc.constantFrom(...Object.keys(shapes)),
        ({ cap, error, first, mean, most }, key, shape) => {
          const random = stream(key)
          const xs: Array<number> = []
          for (let goal = first;; goal = 2 * xs.length) {
            while (xs.length < goal) xs.push(shapes[shape]!(mean)(random, xs.length))
            if (enoughFor(measured(xs), { mnats: 1000 * cap }, { error, most })) break
          }
          const of = measured(xs)
          const told = verdictOf(xs, cap) !== "undecided" && precise(of, cap, error)
          assert.isTrue(told || xs.length >= most)
          assert.isTrue(
            of.standardError <= error * cap || Math.abs(of.mean - cap) >= clear * of.standardError || xs.length >= most
          )
          // And takes no more than twice what it had to.
          assert.isBelow(xs.length, 2 * Math.max(first, most))
        }
      )
    )
  })

  it("of a mean over 4,000 measurements: bias below a fifth of the error bar, and 95 % intervals that cover 93 to 97 %", () => {
    const [mean, sd, cap] = [5.5, 3, 6]
    const all = Array.from({ length: 4000 }, (_, i) => {
      const random = stream(`bias ${i}`)
      const xs: Array<number> = []
      for (let goal = 64;; goal = 2 * xs.length) {
        while (xs.length < goal) xs.push(mean + sd * random.normal())
        const one = measured(xs)
        if (precise(one, cap, 0.03) || one.samples >= 2048) return one
      }
    })
    const bias = all.reduce((sum, one) => sum + one.mean - mean, 0) / all.length
    const bar = all.reduce((sum, { standardError }) => sum + standardError, 0) / all.length
    assert.isAtMost(Math.abs(bias), bar / 5)
    const covered = all.filter((one) => Math.abs(one.mean - mean) <= 1.96 * one.standardError).length
    assert.isAtLeast(covered / all.length, 0.93)
    assert.isAtMost(covered / all.length, 0.97)
  })

  it("p95 and max are asked for with a cap, and left alone without; the most ends everything", () => {
    // Two prompts of 128 samples: one at 0, one at 3.
    const of = measured(alike(256, 0).map((_, i) => i % 2 === 0 ? 0 : 3), 2)
    const exactly = { error: 0.1, most: 1000 }
    assert.isTrue(enoughFor(of, { mnats: 4000 }, exactly))
    assert.isTrue(enoughFor(of, { mnats: 4000, p95: 30_000, max: 30_000 }, exactly))
    assert.isFalse(enoughFor(of, { mnats: 4000, max: 3100 }, exactly))
    assert.isFalse(enoughFor(of, { mnats: 4000, p95: 3100 }, exactly))
    assert.isTrue(enoughFor(of, { mnats: 4000, max: 3100 }, { error: 0.1, most: 256 }))
    // One that is over ends it, whatever the others are.
    assert.isTrue(enoughFor(of, { mnats: 4000, p95: 3100, max: 1000 }, exactly))
    assert.deepStrictEqual(verdicts(of, { mnats: 4000, max: 3100 }), { mean: "within", max: "undecided" })
    assert.deepStrictEqual(verdicts(of, { mnats: 4000, p95: 1000 }), { mean: "within", p95: "over" })
  })
})

describe("p95 and max over prompts", () => {
  /** Exponential samples of prompts with these means, `each` a prompt at first, until it is told of the `rank`-th. */
  const settled = (key: string, means: ReadonlyArray<number>, rank: number, cap: number, most = 1024) => {
    const random = stream(key)
    const xs = means.map((): Array<number> => [])
    for (let each = 4;; each *= 2) {
      xs.forEach((own, i) => {
        while (own.length < each) own.push(shapes["exponential"]!(means[i]!)(random, 0))
      })
      const verdict = verdictOfRank(xs, rank, cap)
      if (verdict !== "undecided" || each >= most) return { verdict, each }
    }
  }
  const even = (count: number, at: number): ReadonlyArray<number> => Array.from({ length: count }, () => at)

  it("are told by the prompts that decide them: those that do not are not waited for", () => {
    const close = settled("max", [...even(19, 0.1), 5.5], 20, 6)
    assert.isAtLeast(close.each, 512)
    // The largest of 20 is no part of the 95th percentile.
    assert.deepStrictEqual(settled("p95", [...even(19, 0.1), 5.5], rank95(20), 6), { verdict: "within", each: 16 })
    // One clearly above is the largest, whatever the others are.
    const above = settled("above", [...even(19, 5.9), 60], 20, 6)
    assert.isTrue(above.verdict === "over" && above.each < 64)
    // One is not two.
    assert.isAtLeast(settled("two", [...even(19, 5.9), 60], rank95(20), 6).each, 64)
  })

  it("are hardly ever called within where the truth is at the cap: in 1 of 100 measurements each", () => {
    for (const [means, rank] of [[[...even(7, 0.1), 6], 8], [even(8, 6), 8], [[...even(18, 0.1), 6, 6], 19]] as const) {
      const within = Array.from({ length: 100 }, (_, i) => settled(`at ${i}`, means, rank, 6, 256).verdict)
        .filter((verdict) => verdict === "within")
      assert.isAtMost(within.length, 1)
    }
  })

  it("take a prompt whose few samples are alike for as spread as the others are", () => {
    const [one, other] = meansByPrompt([1, 0, 1, 4, 1, 0, 1, 4], 2)
    assert.strictEqual(one!.mean, 1)
    assert.strictEqual(other!.mean, 2)
    // Squares of 16 over 8 − 2 samples, against 16 over 3 of its own.
    assert.closeTo(one!.standardError, Math.sqrt(16 / 6 / 4), 1e-12)
    assert.closeTo(other!.standardError, Math.sqrt(16 / 3 / 4), 1e-12)
  })
})
