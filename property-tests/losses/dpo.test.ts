import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as PreferenceLoss from "../../dsl/PreferenceLoss.ts"
import { dpo } from "../../src/losses/dpo.ts"
import { sumRows } from "../../src/losses/ragged.ts"
import { named } from "./dpoNames.ts"
import { assertClose, f64, finiteDifferences, i32, numbers } from "./gradients.ts"

/** Three pairs of answers of 1 to 4 tokens, log-probabilities of policy and reference. */
const batches = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 6, maxLength: 6 }).chain((lengths) => {
  const offsets = Int32Array.from([0, ...lengths])
  for (let i = 1; i < offsets.length; i++) offsets[i]! += offsets[i - 1]!
  return fc.record({
    offsets: fc.constant(offsets),
    logps: numbers(-4, -0.05, offsets[6]!),
    refLogps: numbers(-8, -0.1, 6),
    margins: numbers(-3, 3, 3)
  })
})
interface Batch {
  readonly offsets: Int32Array
  readonly logps: Float64Array
  readonly refLogps: Float64Array
  /** Of CoPG alone. */
  readonly margins?: Float64Array
}

const of = (loss: PreferenceLoss.PreferenceLoss, { logps, margins, offsets, refLogps }: Batch) =>
  dpo(logps, loss.reference ? refLogps : null, offsets, loss, margins)

const beta = fc.double({ min: 0.05, max: 2, noNaN: true })
const smoothing = fc.double({ min: 0, max: 0.45, noNaN: true })

/** One pair of one-token answers whose Δ is `margin`, without a reference's help; the chosen one scores `better` more. */
const pairOf = (loss: PreferenceLoss.PreferenceLoss, margin: number, better = 0) =>
  dpo(f64(-9 + margin / 2, -9 - margin / 2), f64(-9, -9), i32(0, 1, 2), loss, f64(better))

describe("preference losses", () => {
  it("DPO by hand", () => {
    // log π − log π_ref: chosen (−1 − 1) + 3 = 1, rejected −2 + 1 = −1; β 0.5: u = 1, −log σ(1) = log(1 + e⁻¹).
    // dL/dlogp = ∓0.5 σ(−1) for every token of the answer.
    const { gradient, loss, metrics } = dpo(
      f64(-1, -1, -2),
      f64(-3, -1),
      i32(0, 2, 3),
      PreferenceLoss.dpo({ beta: 0.5 })
    )
    assert.closeTo(loss, Math.log1p(Math.exp(-1)), 1e-15)
    const slope = 0.5 / (1 + Math.E)
    assertClose(gradient, [-slope, -slope, slope], 1e-15)
    assert.deepStrictEqual(metrics, {
      "rewards/chosen": 0.5,
      "rewards/rejected": -0.5,
      "rewards/margins": 1,
      "rewards/accuracies": 1,
      "logps/chosen": -2,
      "logps/rejected": -2
    })
  })

  it("the worked pair of RECIPES §3.4: 200 tokens +4 nats, 400 tokens −6", () => {
    const logps = new Float64Array(600).fill(-1)
    const refs = f64(-204, -394)
    const offsets = i32(0, 200, 600)
    assert.closeTo(dpo(logps, refs, offsets, PreferenceLoss.dpo({ beta: 0.1 })).loss, 0.313, 5e-4)
    assert.closeTo(dpo(logps, refs, offsets, PreferenceLoss.dpoNorm({ beta: 5 })).loss, 0.609, 5e-4)
  })

  it.each(Object.entries(named))("invariant 34: the gradient of %s is the finite differences", (_, loss) => {
    fc.assert(
      fc.property(batches, (batch) => {
        // Where two quantiles change places, AOT has a kink; where u passes 1, the hinge has.
        const kinks = loss.terms.some(({ form }) => form._tag === "Aot" || form._tag === "Hinge")
        const { gradient } = of(loss, batch)
        const numeric = finiteDifferences((logps) => of(loss, { ...batch, logps }).loss, batch.logps, 1e-6)
        const near = kinks && gradient.some((g, i) => Math.abs(g - numeric[i]!) > 1e-6)
        if (!near) assertClose(gradient, numeric, 2e-6)
        else {
          // In the kink itself (two that tie) the gradient is that of one of its sides, or between them.
          const at = (logps: Float64Array): number => of(loss, { ...batch, logps }).loss
          const [here, h] = [at(batch.logps), 1e-9]
          gradient.forEach((g, i) => {
            const [down, up] = [-h, h].map((step) => (at(batch.logps.with(i, batch.logps[i]! + step)) - here) / step)
            assert.isAtLeast(g, Math.min(down!, up!) - 1e-4)
            assert.isAtMost(g, Math.max(down!, up!) + 1e-4)
          })
        }
      }),
      { numRuns: 50 }
    )
  })

  it("invariant 24: DPO at the reference is log 2 with slope β/2 for every pair and β", () => {
    fc.assert(fc.property(batches, beta, (batch, beta) => {
      const sums = Float64Array.from(
        { length: 6 },
        (_, i) => batch.logps.subarray(batch.offsets[i]!, batch.offsets[i + 1]!).reduce((a, b) => a + b, 0)
      )
      const { gradient, loss } = of(PreferenceLoss.dpo({ beta }), { ...batch, refLogps: sums })
      assert.closeTo(loss, Math.LN2, 1e-12)
      assertClose(gradient, batch.logps.map((_, t) => (t < batch.offsets[3]! ? -1 : 1) * beta / 2 / 3), 1e-12)
    }))
  })

  it("invariant 24: DPO falls with Δ, ignores a constant on both log-ratios, and swapping the answers takes −βΔ off", () => {
    fc.assert(fc.property(batches, beta, fc.double({ min: -5, max: 5, noNaN: true }), (batch, beta, constant) => {
      const loss = PreferenceLoss.dpo({ beta })
      const now = of(loss, batch)
      const shifted = of(loss, { ...batch, refLogps: batch.refLogps.map((x) => x + constant) })
      assert.closeTo(shifted.loss, now.loss, 1e-11)
      assertClose(shifted.gradient, now.gradient, 1e-11)
    }))
    fc.assert(fc.property(beta, fc.double({ min: -8, max: 8, noNaN: true }), (beta, margin) => {
      const loss = PreferenceLoss.dpo({ beta })
      assert.isAbove(pairOf(loss, margin).loss, pairOf(loss, margin + 0.1).loss)
      assert.closeTo(pairOf(loss, margin).loss - pairOf(loss, -margin).loss, -beta * margin, 1e-10)
    }))
  })

  it("invariant 25: cDPO and robust DPO without label noise are DPO; cDPO is least at Δ = log((1 − ε)/ε)/β", () => {
    fc.assert(fc.property(batches, beta, (batch, beta) => {
      const plain = of(PreferenceLoss.dpo({ beta }), batch)
      for (
        const none of [
          PreferenceLoss.cDpo({ beta, labelSmoothing: 0 }),
          PreferenceLoss.robustDpo({ beta, labelSmoothing: 0 })
        ]
      ) {
        const same = of(none, batch)
        assert.closeTo(same.loss, plain.loss, 1e-13)
        assertClose(same.gradient, plain.gradient, 1e-13)
      }
    }))
    const golden = PreferenceLoss.cDpo({ beta: 0.3, labelSmoothing: 0.2 })
    assertClose(pairOf(golden, 4.620981203732969).gradient, [0, 0], 1e-9)
    fc.assert(fc.property(beta, fc.double({ min: 0.05, max: 0.45, noNaN: true }), (beta, labelSmoothing) => {
      const loss = PreferenceLoss.cDpo({ beta, labelSmoothing })
      const best = Math.log((1 - labelSmoothing) / labelSmoothing) / beta
      assertClose(pairOf(loss, best).gradient, [0, 0], 1e-9)
      for (const off of [-1, 1]) assert.isAbove(pairOf(loss, best + off).loss, pairOf(loss, best).loss)
    }))
  })

  it("invariant 25: robust DPO over flipped labels is in expectation DPO on clean ones", () => {
    fc.assert(
      fc.property(beta, smoothing, fc.double({ min: -6, max: 6, noNaN: true }), (beta, labelSmoothing, margin) => {
        const loss = PreferenceLoss.robustDpo({ beta, labelSmoothing })
        const expected = (1 - labelSmoothing) * pairOf(loss, margin).loss + labelSmoothing * pairOf(loss, -margin).loss
        assert.closeTo(expected, pairOf(PreferenceLoss.dpo({ beta }), margin).loss, 1e-9)
      })
    )
  })

  it("invariant 26: IPO is 0 at Δ = 1/(2β) alone and 1/(4β²) at the reference", () => {
    assert.closeTo(pairOf(PreferenceLoss.ipo({ beta: 0.1 }), 0).loss, 25, 1e-12)
    fc.assert(fc.property(beta, (beta) => {
      const loss = PreferenceLoss.ipo({ beta })
      assert.closeTo(pairOf(loss, 1 / (2 * beta)).loss, 0, 1e-12)
      assertClose(pairOf(loss, 1 / (2 * beta)).gradient, [0, 0], 1e-12)
      assert.closeTo(pairOf(loss, 0).loss, 1 / (4 * beta ** 2), 1e-9)
    }))
  })

  it("CoPG is eq. 7 to 9 of Flet-Berliac et al., least where βΔ is the margin of the scores, and IPO where that is ½", () => {
    const score = fc.double({ min: -3, max: 3, noNaN: true })
    fc.assert(fc.property(batches, beta, fc.tuple(score, score), (batch, beta, [c, r]) => {
      const sums = sumRows(batch.logps, batch.offsets).map((sum, row) => sum - batch.refLogps[row]!)
      /** R_{β/2} of the paper. */
      const half = (score: number, row: number) => score - beta / 2 * sums[row]!
      const minus = [0, 1, 2].map((i) =>
        (half(r, i + 3) - half(c, i)) * sums[i]! + (half(c, i) - half(r, i + 3)) * sums[i + 3]!
      )
      const { loss } = of(PreferenceLoss.copg({ beta }), { ...batch, margins: f64(c - r, c - r, c - r) })
      const expected = (minus[0]! + minus[1]! + minus[2]!) / 3 + (c - r) ** 2 / (2 * beta)
      assert.closeTo(loss, expected, 1e-9 * (1 + Math.abs(expected)))
      const ipo = of(PreferenceLoss.ipo({ beta, per: "sequence" }), batch)
      const like = of(PreferenceLoss.copg({ beta }), { ...batch, margins: f64(0.5, 0.5, 0.5) })
      assertClose(like.gradient, ipo.gradient.map((slope) => beta / 2 * slope), 1e-9)
    }))
    fc.assert(fc.property(beta, score, (beta, better) => {
      const loss = PreferenceLoss.copg({ beta })
      assert.closeTo(pairOf(loss, better / beta, better).loss, 0, 1e-12)
      assertClose(pairOf(loss, better / beta, better).gradient, [0, 0], 1e-12)
      for (const off of [-1, 1]) assert.isAbove(pairOf(loss, better / beta + off, better).loss, 0)
    }))
    // A missing margin would teach that both answers are as good.
    assert.throws(() => dpo(f64(-1, -1), f64(-1, -1), i32(0, 1, 2), PreferenceLoss.copg()), /margins/u)
  })

  it("invariant 26: SimPO needs no reference, is log 2 at equal means without a margin, and the same for every token twice", () => {
    assert.strictEqual(PreferenceLoss.simPo().reference, false)
    assert.throws(() => dpo(f64(-1, -1), f64(-1, -1), i32(0, 1, 2), PreferenceLoss.simPo()))
    assert.throws(() => dpo(f64(-1, -1), null, i32(0, 1, 2), PreferenceLoss.dpo()))
    assert.closeTo(dpo(f64(-1, -1, -1), null, i32(0, 2, 3), PreferenceLoss.simPo({ gamma: 0 })).loss, Math.LN2, 1e-15)
    fc.assert(fc.property(batches, ({ logps, offsets }) => {
      const twice = Float64Array.from([...logps].flatMap((x) => [x, x]))
      const { loss } = dpo(logps, null, offsets, PreferenceLoss.simPo())
      assert.closeTo(dpo(twice, null, offsets.map((x) => 2 * x), PreferenceLoss.simPo()).loss, loss, 1e-12)
    }))
  })

  it("invariant 26: DPO per token is DPO with β over the length when all lengths are equal", () => {
    fc.assert(fc.property(numbers(-4, -0.1, 12), numbers(-8, -0.1, 6), beta, (logps, refLogps, beta) => {
      const batch = { logps, refLogps, offsets: i32(0, 2, 4, 6, 8, 10, 12) }
      const norm = of(PreferenceLoss.dpoNorm({ beta }), batch)
      const plain = of(PreferenceLoss.dpo({ beta: beta / 2 }), batch)
      assert.closeTo(norm.loss, plain.loss, 1e-12)
      assertClose(norm.gradient, plain.gradient, 1e-12)
    }))
  })

  it("invariant 27: APO is 1 at the reference", () => {
    fc.assert(fc.property(beta, (beta) => {
      assert.closeTo(pairOf(PreferenceLoss.apoZero({ beta }), 0).loss, 1, 1e-15)
      assert.closeTo(pairOf(PreferenceLoss.apoDown({ beta }), 0).loss, 1, 1e-15)
    }))
  })

  it("invariant 27: ORPO with λ → 0 is cross-entropy on the chosen answers", () => {
    fc.assert(fc.property(batches, (batch) => {
      // β has to be above 0; the term is linear in it.
      const { gradient, loss } = of(PreferenceLoss.orpo({ lambda: 1e-12 }), batch)
      const tokens = batch.offsets[3]!
      assert.closeTo(loss, -batch.logps.subarray(0, tokens).reduce((sum, x) => sum + x, 0) / tokens, 1e-9)
      assertClose(gradient, batch.logps.map((_, t) => t < tokens ? -1 / tokens : 0), 1e-9)
    }))
  })

  it("of terms and weights add up, and of one pair AOT is DPO", () => {
    fc.assert(fc.property(batches, (batch) => {
      const parts = [
        [0.8, of(named["dpo"]!, batch)],
        [0.2, of(named["bco"]!, batch)],
        [1, of({ ...named["dpo"]!, terms: [], nll: 1 }, batch)]
      ] as const
      const whole = of(named["mpo"]!, batch)
      assert.closeTo(whole.loss, parts.reduce((sum, [w, { loss }]) => sum + w * loss, 0), 1e-11)
      assertClose(
        whole.gradient,
        batch.logps.map((_, t) => parts.reduce((sum, [w, p]) => sum + w * p.gradient[t]!, 0)),
        1e-11
      )
    }))
    for (const paired of [true, false]) {
      assertClose(
        pairOf(PreferenceLoss.aot({ beta: 0.7, paired }), 1.3).gradient,
        pairOf(PreferenceLoss.dpo({ beta: 0.7 }), 1.3).gradient,
        1e-15
      )
    }
  })

  it.each(Object.entries(named))("%s: what is not finite comes through, no pairs are loss 0", (_, loss) => {
    const refs = (n: number) => loss.reference ? new Float64Array(n).fill(-1) : null
    for (const bad of [NaN, Infinity, -Infinity]) {
      assert.isFalse(Number.isFinite(dpo(f64(bad, -1), refs(2), i32(0, 1, 2), loss, f64(1)).loss))
      assert.isFalse(Number.isFinite(dpo(f64(-1, bad), refs(2), i32(0, 1, 2), loss, f64(1)).loss))
    }
    assert.strictEqual(dpo(f64(), refs(0), i32(0), loss, f64()).loss, 0)
  })

  it("stays finite where exponentials overflow", () => {
    for (
      const name of [
        "dpo",
        "cDpo",
        "robustDpo",
        "hinge",
        "ipo",
        "copg",
        "exo",
        "nca",
        "bco",
        "sppo",
        "apoZero",
        "apoDown"
      ]
    ) {
      for (const margin of [-4000, 4000]) {
        const { gradient, loss } = pairOf(named[name]!, margin)
        assert.isTrue(Number.isFinite(loss) && gradient.every(Number.isFinite), `${name} ${margin}: ${loss}`)
      }
    }
  })
})
