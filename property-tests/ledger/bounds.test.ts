/** The soundness of the ledger's bounds, held against enumeration: random chains of up to 6 steps, every step applied exactly. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Bounds from "../../src/ledger/bounds.ts"
import * as Renyi from "../../src/ledger/renyi.ts"
import * as Variation from "../../src/ledger/variation.ts"
import { distribution } from "../../src/sampling/draw.ts"
import { stream } from "../../src/sampling/random.ts"
import { bestOf, chainsOf, type Kind, kinds, kl, maxDivergence, normalised, renyi, topOf, variation } from "./chains.ts"
import { mixtureBound } from "./mixture.ts"

const nats = ({ mnats }: Bounds.Bound): number => mnats! / 1000

describe("the ledger's bounds", () => {
  it("invariants 5, 6: on 100,000 chains of up to 6 steps none is below the truth: D∞, KL, every Rényi order, total variation", () => {
    const next = chainsOf("ledger/bounds")
    const seen = new Map<Kind, number>()
    let [unknown, better] = [0, 0]
    for (let n = 0; n < 100_000; n++) {
      const { initial, last, links } = next(6)
      for (const { kind } of links) seen.set(kind, (seen.get(kind) ?? 0) + 1)
      const stageTvs = links.map((link) => Variation.fromKl(kl(link.after, link.before)))
      // From KLs of single stages alone, merges among them: it is a metric.
      const tv = variation(last, initial)
      if (Variation.chain(...stageTvs).millionths / 1e6 < tv - 1e-9) assert.fail(`TV ${tv}`)
      const bound = Bounds.chain(...links.map(({ bound }) => bound))
      const orders = Renyi.chain(...links.map(({ renyi }) => renyi))
      assert.strictEqual(bound.mnats === null, orders === null)
      if (orders === null) {
        // A merge, or a temperature above 1.
        assert.isTrue(links.some(({ kind }) => kind.endsWith("Merge") || ["temperature", "sampling"].includes(kind)))
        unknown++
        continue
      }
      const farthest = maxDivergence(last, initial)
      if (nats(bound) < farthest - 1e-9) assert.fail(`D∞ ${farthest} above its bound ${nats(bound)}`)
      assert.isAtMost(orders.mnats.at(-1)!, bound.mnats!)
      if (Renyi.klOf(orders) < bound.mnats!) better++
      for (const [i, order] of Renyi.orders.entries()) {
        const truth = renyi(last, initial, order)
        if (orders.mnats[i]! / 1000 < truth - 1e-9) assert.fail(`order ${order}: ${truth} above ${orders.mnats[i]}`)
      }
      const known = Variation.chain(...links.map((link) => Variation.fromRenyi(link.renyi)))
      for (const { millionths } of [known, Variation.fromRenyi(orders)]) {
        if (millionths / 1e6 < tv - 1e-9) assert.fail(`TV ${tv} above ${millionths}`)
      }
    }
    // Each kind of step was there, and KL is mostly known better than D∞.
    for (const kind of kinds.filter((kind) => kind !== "restart")) assert.isAbove(seen.get(kind) ?? 0, 10_000, kind)
    assert.isAbove(unknown, 10_000)
    assert.isAbove(better, 20_000)
  })

  it("within these factors of the truth, family by family, at what is worst for each", () => {
    // A filter: D∞, KL and 1 − e^−D∞ exactly.
    for (const accepted of [0.9, 0.5, 0.03]) {
      const [before, after] = [[accepted, 1 - accepted], [1, 0]]
      assert.closeTo(nats(Bounds.acceptFilter(accepted)), maxDivergence(after, before), 1e-3)
      assert.closeTo(Renyi.klOf(Renyi.acceptFilter(accepted)) / 1000, kl(after, before), 1e-3)
      assert.closeTo(Variation.fromRenyi(Renyi.acceptFilter(accepted)).millionths / 1e6, variation(after, before), 1e-3)
    }
    // Best of n: D∞ with a rare best; each order, KL among them, with many scores that differ. Factor 1.
    const rare = normalised([1, 1e-6])
    for (const n of [2, 8, 64]) {
      assert.closeTo(nats(Bounds.bestOfN(n)), maxDivergence(bestOf(rare, [0, 1], n), rare), 2e-3)
      const many = Array.from({ length: 4000 }, () => 1 / 4000)
      const law = bestOf(many, many.map((_, i) => i), n)
      for (const [i, order] of Renyi.orders.entries()) {
        if (order <= 8) {
          assert.closeTo(Renyi.bestOfN(n).mnats[i]! / 1000, renyi(law, many, order), 0.02, `${n}, ${order}`)
        }
      }
      // The k best of n: D∞, with the best being rare.
      assert.closeTo(nats(Bounds.topOf(2, n)), maxDivergence(topOf(rare, [0, 1], 2, n), rare), 2e-3)
    }
    // A tilt: D∞ with a rare best (factor 1); KL of a fair coin, within 1 % of h² / 8 for small h = span / β.
    for (const beta of [0.25, 0.5, 4]) {
      const after = normalised(rare.map((x, i) => x * Math.exp(i / beta)))
      assert.closeTo(nats(Bounds.tilt(1, beta)), maxDivergence(after, rare), 2e-3)
    }
    const [coin, small] = [[0.5, 0.5], 5]
    const tilted = normalised(coin.map((x, i) => x * Math.exp(i / small)))
    assert.isAtMost((Renyi.klOf(Renyi.tilt(1, small)!) - 1) / 1000 / kl(tilted, coin), 1.01)
    // And nowhere by more than 4, the worst being where h² / 8 and h meet (h = 8, or less).
    for (let h = 0.5; h < 40; h += 0.5) {
      const most = Math.max(...Array.from({ length: 400 }, (_, i) => {
        const q = [1 - 10 ** (-i / 20), 10 ** (-i / 20)]
        return i === 0 ? 0 : kl(normalised(q.map((x, j) => x * Math.exp(j * h))), q)
      }))
      assert.isAtMost(Renyi.klOf(Renyi.tilt(1, 1 / h)!) / 1000 / most, 4, `h ${h}`)
    }
    // Best of m of best of n is best of mn: log m + log n is log mn.
    assert.closeTo(nats(Bounds.chain(Bounds.bestOfN(4), Bounds.bestOfN(8))), Math.log(32), 2e-3)
    // A mixture with a part that is rare elsewhere.
    const half = rare.map((x, i) => (x + bestOf(rare, [0, 1], 8)[i]!) / 2)
    const mixed = mixtureBound([{ weight: 1, bound: Bounds.still }, { weight: 1, bound: Bounds.bestOfN(8) }])
    assert.closeTo(nats(mixed), maxDivergence(half, rare), 2e-3)
  })

  const all = { temperature: 1, topK: 0, topP: 1 }

  it("within these factors of the truth for truncated sampling, at what is worst for it", () => {
    const vocabulary = 1000
    const even = Array.from({ length: vocabulary }, () => 1 / vocabulary)
    /** One likelier token and equal others. */
    const two = (most: number) => normalised([most, ...even.slice(1).map(() => (1 - most) / (vocabulary - 1))])
    const truth = (p: ReadonlyArray<number>, how: typeof all) =>
      maxDivergence([...distribution(Float64Array.from(p, Math.log), how)], p)
    const bound = (how: typeof all) => nats(Bounds.sampled(how, { tokens: 1, vocabulary }))
    // Exactly: the k of equal tokens, greedy among them; a nucleus that ends at its share.
    for (
      const how of [
        { ...all, topK: 10 },
        { ...all, topK: 1 },
        { ...all, temperature: 0 },
        { ...all, topK: 40, topP: 0.4999 },
        { ...all, temperature: 2, topK: 1 }
      ]
    ) assert.closeTo(bound(how), truth(even, how), 2e-3, JSON.stringify(how))
    assert.closeTo(bound({ ...all, topP: 0.9 }), maxDivergence([1, 0], [0.9, 0.1]), 1e-3)
    // A temperature: but for log 2, at two levels where 1 / m and m^(α−1) V^α / (k p) meet.
    for (const temperature of [0.25, 0.5, 0.7, 0.9]) {
      for (const topK of [0, 100]) {
        const how = { ...all, temperature, topK }
        const worst = truth(two(Math.exp(-bound(how))), how)
        assert.isAtMost(worst, bound(how))
        assert.isAtLeast(worst, bound(how) - Math.LN2 - 2e-3, JSON.stringify(how))
      }
    }
  })

  it("adds up over the tokens of a completion, and knows nothing of what it has no numbers for", () => {
    const random = stream("ledger/sampled")
    const logits = () => Float64Array.from({ length: 3 }, () => 4 * random.normal())
    const one = (logits: Float64Array, how: typeof all) =>
      [
        distribution(logits, all),
        distribution(logits, how)
      ] as const
    for (let n = 0; n < 2000; n++) {
      const how = { temperature: random.next(), topK: random.int(4), topP: 1 - random.next() }
      const [before, after] = one(logits(), how)
      // Token 0 ends it; after another there is a second one.
      const [p, q]: [Array<number>, Array<number>] = [[before[0]!], [after[0]!]]
      for (const first of [1, 2]) {
        const [then, instead] = one(logits(), how)
        p.push(...then.map((x) => x * before[first]!))
        q.push(...instead.map((x) => x * after[first]!))
      }
      assert.isAtMost(maxDivergence(q, p), nats(Bounds.sampled(how, { tokens: 2, vocabulary: 3 })) + 1e-9)
    }
    const of = { tokens: 2, vocabulary: 3 }
    assert.isNull(Bounds.sampled({ ...all, temperature: 1.1 }, of).mnats)
    assert.isNull(Bounds.sampled({ ...all, temperature: 1.1, topK: 2, topP: 0.5 }, of).mnats)
    for (const how of [{ ...all, temperature: 0.5 }, { ...all, topK: 2 }, { ...all, temperature: 0 }]) {
      assert.isNull(Bounds.sampled(how, { tokens: 2, vocabulary: null }).mnats)
    }
    // A share needs no vocabulary; more tokens than there are change nothing.
    const halves = Bounds.sampled({ ...all, topP: 0.5 }, { tokens: 2, vocabulary: null })
    assert.strictEqual(halves.mnats, Math.ceil(2000 * Math.LN2))
    assert.strictEqual(Bounds.sampled({ ...all, topK: 9 }, of).mnats, 0)
  })

  it("invariant 6: KLs of stages do not add up to a bound, nor do their roots: Bernoulli .5 → .1 → .01", () => {
    const [p, q, r] = [0.01, 0.1, 0.5].map((x) => [x, 1 - x])
    assert.closeTo(kl(r!, p!), 1.6145, 1e-4)
    assert.closeTo(kl(r!, q!) + kl(q!, p!), 0.5108 + 0.1445, 1e-4)
    assert.isAbove(kl(r!, p!), kl(r!, q!) + kl(q!, p!))
    assert.closeTo(Math.sqrt(kl(r!, p!)), 1.2706, 1e-4)
    assert.closeTo(Math.sqrt(kl(r!, q!)) + Math.sqrt(kl(q!, p!)), 1.0948, 1e-4)
    // What the ledger would say of that chain: KL of the last on top of D∞ before it, and every mixed bound.
    assert.isAtMost(kl(r!, p!), kl(r!, q!) + maxDivergence(q!, p!))
    const exactly = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): Renyi.RenyiBound => ({
      _tag: "RenyiBound",
      mnats: Renyi.orders.map((order) => Math.ceil(1000 * renyi(a, b, order)))
    })
    const whole = Renyi.chain(exactly(q!, p!), exactly(r!, q!))!
    assert.isAtLeast(Renyi.klOf(whole) / 1000, kl(r!, p!))
    assert.isBelow(Renyi.klOf(whole), 1000 * (maxDivergence(q!, p!) + maxDivergence(r!, q!)))
    assert.isAtLeast(Variation.chain(Variation.fromKl(kl(r!, q!)), Variation.fromKl(kl(q!, p!))).millionths, 490_000)
  })

  it("invariant 6: tilts one way add to more than their KLs; k resets of a reference at converged stages are β / k", () => {
    const initial = normalised([5, 3, 1, 1])
    const reward = [0, 0.3, 0.7, 1]
    const tilt = (p: ReadonlyArray<number>, beta: number) =>
      normalised(p.map((x, i) => x * Math.exp(reward[i]! / beta)))
    const [beta, resets] = [0.5, 3]
    let [at, sum] = [initial as ReadonlyArray<number>, 0]
    for (let i = 0; i <= resets; i++) {
      const next = tilt(at, beta)
      sum += kl(next, at)
      at = next
    }
    tilt(initial, beta / (resets + 1)).forEach((x, i) => assert.closeTo(at[i]!, x, 1e-12))
    assert.isAbove(kl(at, initial), sum)
    // β bounds a step, not the drift.
    assert.isAbove(maxDivergence(at, initial), nats(Bounds.tilt(1, beta)))
    assert.isAtMost(maxDivergence(at, initial), nats(Bounds.tilt(1, beta / (resets + 1))))
  })

  it("a geometric merge exceeds both parents, which is why it is unknown: .93 and .90 nats merge to 2.80", () => {
    const reference = [0.485, 0.501, 0.014]
    const [a, b] = [[0.799, 0.001, 0.2], [0.001, 0.799, 0.2]]
    const merged = normalised(a.map((x, i) => Math.sqrt(x * b[i]!)))
    assert.closeTo(kl(a, reference), 0.925, 1e-3)
    assert.closeTo(kl(b, reference), 0.899, 1e-3)
    assert.closeTo(kl(merged, reference), 2.804, 1e-3)
    // Nor is it bounded by both together.
    assert.isAbove(kl(merged, reference), kl(a, reference) + kl(b, reference))
    assert.isNull(Bounds.chain(Bounds.bestOfN(2), Bounds.unknown).mnats)
  })

  it("invariant 43: whole numbers add in any order to the same sum, and what is unknown stays unknown", () => {
    const link = fc.option(fc.nat({ max: 1e6 })).map((mnats): Bounds.Bound => ({ _tag: "Bound", mnats }))
    fc.assert(fc.property(link, link, link, (a, b, c) => {
      const { chain, either } = Bounds
      assert.deepStrictEqual(chain(chain(a, b), c), chain(a, chain(b, c)))
      assert.deepStrictEqual(chain(a, b, c), chain(c, a, b))
      assert.deepStrictEqual(either(either(a, b), c), either(c, either(b, a)))
      if (a.mnats === null) assert.isNull(chain(a, b, c).mnats)
    }))
    const share = fc.nat({ max: 4e5 }).map((n) => Variation.variationOf(n / 1e6))
    fc.assert(fc.property(share, share, share, (a, b, c) => {
      const { chain } = Variation
      assert.deepStrictEqual(chain(chain(a, b), c), chain(c, chain(b, a)))
    }))
    assert.isNull(Bounds.chain(Bounds.bestOfN(4), Bounds.unknown).mnats)
    assert.isNull(Bounds.tilt(1, 0).mnats)
    assert.strictEqual(Bounds.tilt(0, 0).mnats, 0)
    assert.isNull(Renyi.chain(Renyi.bestOfN(4), null))
    assert.strictEqual(Variation.fromRenyi(null).millionths, 1e6)
  })
})
