import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { PolicyGradient, PolicyLoss } from "../../dsl/index.ts"
import { rowWeights } from "../../src/losses/aggregation.ts"
import { entropyGradient } from "../../src/losses/entropy.ts"
import { type PolicyBatch, policyGradient } from "../../src/losses/policyGradient.ts"
import { ppo } from "../../src/losses/ppo.ts"
import { clips, policyLosses } from "../../src/testing/policyLosses.ts"
import { assertClose, f64, finiteDifferences, i32, numbers, rowOffsets, total } from "./gradients.ts"

/** Rows of 1 to 5 tokens, log-ratios of up to 0.5. */
const batches: fc.Arbitrary<PolicyBatch & { readonly refLogps: Float64Array; readonly entropies: Float64Array }> =
  rowOffsets
    .chain((offsets) => {
      const n = offsets[offsets.length - 1]!
      return fc.record({
        offsets: fc.constant(offsets),
        oldLogps: numbers(-3, -0.5, n),
        moved: numbers(-0.5, 0.5, n),
        refLogps: numbers(-3, -0.5, n),
        samplerLogps: numbers(-3, -0.5, n),
        advantages: numbers(-2, 2, n),
        entropies: numbers(0, 2, n)
      })
    }).map(({ moved, ...batch }) => ({ ...batch, logps: batch.oldLogps.map((x, t) => x + moved[t]!) }))

const loss = (
  objective: PolicyLoss.Objective,
  aggregation: PolicyLoss.Aggregation = new PolicyLoss.TokenMean(),
  more: Partial<PolicyLoss.PolicyLoss> = {}
) => new PolicyLoss.PolicyLoss({ objective, aggregation, ...more })
const ratio = (clip: PolicyLoss.Clip, level: "token" | "sequence" | "sequence-mean" = "token") =>
  new PolicyLoss.Ratio({ level, clip })
const maxLength = 9
const run = (batch: PolicyBatch, of: PolicyLoss.PolicyLoss, beta = 0) => policyGradient(batch, of, { beta, maxLength })
/** A batch of one row. */
const single = (logps: Float64Array, oldLogps: Float64Array, advantages: Float64Array): PolicyBatch => ({
  logps,
  oldLogps,
  advantages,
  offsets: i32(0, logps.length)
})

describe("policy gradient losses", () => {
  it("by hand: two rows, sequence mean, k3", () => {
    // Row 1: ratios 2 and 1 with A = 1: −min(2, 1.2) and −1, mean −1.1. Row 2: ratio 1/2, A = −1: −min(−1/2, −0.8) = 0.8.
    // Loss (−1.1 + 0.8)/2 = −0.15; with d = ln 2 everywhere and β = 1, k3 = ln 2 − 1/2 on top.
    const batch = {
      logps: f64(-1, -2, -1 - Math.LN2),
      oldLogps: f64(-1 - Math.LN2, -2, -1),
      advantages: f64(1, 1, -1),
      offsets: i32(0, 2, 3)
    }
    const of = PolicyGradient.grpo.loss
    const bare = run(batch, of)
    assert.closeTo(bare.loss, -0.15, 1e-15)
    assertClose(bare.gradient, [0, -1 / 4, 0], 1e-15)
    assert.closeTo(bare.metrics["clip_ratio/high_mean"]!, 1 / 3, 1e-15)
    assert.closeTo(bare.metrics["clip_ratio/low_mean"]!, 1 / 3, 1e-15)
    const refLogps = batch.logps.map((x) => x - Math.LN2)
    const both = run({ ...batch, refLogps }, of, 1)
    assert.closeTo(both.loss, -0.15 + Math.LN2 - 0.5, 1e-15)
    assert.closeTo(both.metrics["kl"]!, Math.LN2 - 0.5, 1e-15)
    // dk3 = 1 − 1/2.
    assertClose(both.gradient, [1 / 8, -1 / 4 + 1 / 8, 1 / 4], 1e-15)
  })

  it("invariant 34: the gradient of any point is the finite difference, its stop-gradients held", () => {
    const edges = [0.8, 1.2]
    fc.assert(
      fc.property(batches, policyLosses, fc.constantFrom(0, 0.3), (batch, of, beta) => {
        const bounds = of.objective._tag !== "Ratio" ? [] : kinks(of.objective.clip)
        const rhos = ratiosOf(batch, of)
        fc.pre(rhos.every((rho) => [...edges, ...bounds].every((edge) => Math.abs(rho - edge) > 1e-3)))
        const { gradient } = run(batch, of, beta)
        // The estimate of the entropy's gradient is no derivative of one sample: it is taken off, and checked by enumeration.
        const entropic = entropyGradient(batch.logps, batch.oldLogps, batch.entropies)
        const exact = gradient.map((g, t) => g + (of.entropyCoef ?? 0) * entropic[t]! / batch.logps.length)
        const detached = held(batch, of)
        assertClose(exact, finiteDifferences((x) => detached({ ...batch, logps: x }, beta), batch.logps), 1e-6)
      }),
      { numRuns: 400 }
    )
  })

  it("invariant 17: on policy every objective at token level has REINFORCE's gradient, −A", () => {
    fc.assert(fc.property(batches, clips, (batch, clip) => {
      fc.pre(clip._tag !== "DetachedWeight" || clip.max >= 1)
      const here = { ...batch, logps: batch.oldLogps }
      const n = here.logps.length
      const minus = here.advantages.map((a) => -a / n)
      assertClose(run(here, loss(ratio(clip))).gradient, minus, 1e-12)
      assertClose(run(here, loss(new PolicyLoss.Likelihood())).gradient, minus, 1e-12)
      assertClose(run(here, loss(new PolicyLoss.GammaWeighted({}))).gradient, minus, 1e-12)
    }))
  })

  it("invariant 17: the token mean of a clipped ratio is PPO, bit for bit", () => {
    fc.assert(fc.property(batches, fc.double({ min: 0.05, max: 0.5, noNaN: true }), (batch, clipRange) => {
      const { gradient, loss: value } = ppo(batch.logps, batch.oldLogps, batch.advantages, { clipRange })
      const ours = run(batch, loss(ratio(PolicyLoss.symmetric(clipRange))))
      assert.strictEqual(ours.loss, value)
      assert.deepStrictEqual(ours.gradient, gradient)
    }))
  })

  it("invariant 18: GSPO of one token is PPO; its ratio is free of length", () => {
    fc.assert(fc.property(numbers(-3, 0, 4), numbers(-0.4, 0.4, 4), numbers(-2, 2, 4), (old, moved, advantages) => {
      const logps = old.map((x, t) => x + moved[t]!)
      const each = { logps, oldLogps: old, advantages, offsets: i32(0, 1, 2, 3, 4) }
      const clip = PolicyLoss.symmetric(0.2)
      const token = run(each, loss(ratio(clip), new PolicyLoss.SequenceMean()))
      const sequence = run(each, loss(ratio(clip, "sequence-mean"), new PolicyLoss.SequenceMean()))
      assert.closeTo(sequence.loss, token.loss, 1e-12)
      assertClose(sequence.gradient, token.gradient, 1e-12)
      // Every token twice: the same ratio, the same loss.
      const twice = (xs: Float64Array) => f64(...Array.from(xs).flatMap((x) => [x, x]))
      const one = { ...each, advantages: each.advantages.map(() => advantages[0]!), offsets: i32(0, 4) }
      const doubled = {
        logps: twice(logps),
        oldLogps: twice(old),
        advantages: twice(one.advantages),
        offsets: i32(0, 8)
      }
      const gspo = loss(ratio(clip, "sequence-mean"), new PolicyLoss.SequenceMean())
      assert.closeTo(run(doubled, gspo).loss, run(one, gspo).loss, 1e-12)
    }))
  })

  it("invariant 18: CISPO keeps a gradient outside its clip; SAPO's gate is 1 at ratio 1 and fades on both sides", () => {
    const far = single(f64(Math.log(3)), f64(0), f64(1))
    assert.closeTo(run(far, loss(ratio(PolicyLoss.symmetric(0.2)))).gradient[0]!, 0, 0)
    assert.closeTo(run(far, loss(ratio(new PolicyLoss.DetachedWeight({ max: 2 })))).gradient[0]!, -2, 1e-15)
    const gate = (logRatio: number): number =>
      -run(single(f64(logRatio), f64(0), f64(1)), loss(ratio(new PolicyLoss.SoftGated({})))).gradient[0]! /
      Math.exp(logRatio)
    assert.closeTo(gate(0), 1, 1e-15)
    for (const x of [0.1, 0.5, 1, 2]) {
      assert.isBelow(gate(x), gate(x / 2))
      assert.isBelow(gate(-x), gate(-x / 2))
    }
  })

  it("the dual clip bounds what one token with A < 0 can cost, and is the plain clip elsewhere", () => {
    const dual = loss(ratio(new PolicyLoss.DualClipped({ low: 0.2, high: 0.2, bound: 3 })))
    const plain = loss(ratio(PolicyLoss.symmetric(0.2)))
    const at = (rho: number, a: number) => single(f64(Math.log(rho)), f64(0), f64(a))
    assert.closeTo(run(at(10, -2), dual).loss, 6, 1e-12)
    assert.closeTo(run(at(10, -2), dual).gradient[0]!, 0, 0)
    assert.closeTo(run(at(10, -2), plain).loss, 20, 1e-12)
    for (const [rho, a] of [[2, -1], [0.5, -1], [10, 1], [0.1, 1]] as const) {
      assert.strictEqual(run(at(rho, a), dual).loss, run(at(rho, a), plain).loss)
    }
  })

  it("invariant 19: sequence mean and token mean agree iff all lengths are equal", () => {
    const of = (aggregation: PolicyLoss.Aggregation) => loss(ratio(PolicyLoss.symmetric(0.2)), aggregation)
    fc.assert(fc.property(numbers(-2, 0, 6), numbers(-2, 2, 6), (logps, advantages) => {
      const equal = { logps, oldLogps: logps, advantages, offsets: i32(0, 3, 6) }
      const mean = run(equal, of(new PolicyLoss.TokenMean())).loss
      assert.closeTo(run(equal, of(new PolicyLoss.SequenceMean())).loss, mean, 1e-12)
      assert.closeTo(run(equal, of(new PolicyLoss.FixedLength({ length: 3 }))).loss, mean, 1e-12)
      assert.closeTo(run(equal, of(new PolicyLoss.SequenceSum())).loss, 3 * mean, 1e-12)
    }))
    const unequal = { logps: f64(0, 0, 0), oldLogps: f64(0, 0, 0), advantages: f64(1, 4, 4), offsets: i32(0, 1, 3) }
    assert.closeTo(run(unequal, of(new PolicyLoss.TokenMean())).loss, -3, 1e-15)
    assert.closeTo(run(unequal, of(new PolicyLoss.SequenceMean())).loss, -2.5, 1e-15)
  })

  it("invariant 19: no diagnostic depends on the aggregation, and each is a mean over tokens, or over completions of their ratios", () => {
    fc.assert(fc.property(batches, policyLosses, fc.constantFrom(0, 0.3), (batch, of, beta) => {
      const under = (aggregation: PolicyLoss.Aggregation) =>
        Object.entries(run(batch, new PolicyLoss.PolicyLoss({ ...of, aggregation }), beta).metrics)
          .filter(([name]) => name !== "loss")
      const [one, ...others] = [
        new PolicyLoss.TokenMean(),
        new PolicyLoss.SequenceMean(),
        new PolicyLoss.SequenceSum(),
        new PolicyLoss.FixedLength({}),
        new PolicyLoss.FixedLength({ length: 128 })
      ].map(under)
      for (const other of others) {
        assert.deepStrictEqual(other.map(([name]) => name), one!.map(([name]) => name))
        assertClose(other.map(([, value]) => value), one!.map(([, value]) => value), 1e-12)
      }
      const metrics = Object.fromEntries(one!)
      const d = batch.logps.map((x, t) => x - batch.oldLogps[t]!)
      assertClose([metrics["approx_kl"]!], [total(d.map((x) => x * x / 2)) / d.length], 1e-12)
      assertClose([metrics["entropy"]!], [total(batch.entropies) / d.length], 1e-12)
      const ratios = ratiosOf(batch, of)
      const level = of.objective._tag === "Ratio" ? of.objective.level : of.objective._tag
      const firsts = [...batch.offsets].slice(0, -1)
      const counted = level === "token" || level === "Likelihood" || level === "Contrastive"
        ? ratios
        : firsts.map((t) => ratios[t]!)
      assertClose([metrics["ratio"]!], [counted.reduce((sum, x) => sum + x, 0) / counted.length], 1e-12)
      assert.isAtMost(metrics["clip_ratio/region_mean"]!, 1 + 1e-12)
    }))
  })

  it("a token behind the second bound of a dual clip is counted apart", () => {
    const dual = loss(
      ratio(new PolicyLoss.DualClipped({ low: 0.2, high: 0.2, bound: 3 })),
      new PolicyLoss.SequenceSum()
    )
    const { metrics } = run({ ...single(f64(Math.log(4), Math.log(4), 0), f64(0, 0, 0), f64(-1, 1, 1)) }, dual)
    assert.closeTo(metrics["clip_ratio/bound_mean"]!, 1 / 3, 1e-15)
    assert.closeTo(metrics["clip_ratio/region_mean"]!, 1 / 3, 1e-15)
  })

  it("invariant 19: a row without tokens weighs 0 in a mean over its own tokens, and so does every row of a batch without any", () => {
    assert.deepStrictEqual([...rowWeights(new PolicyLoss.SequenceMean(), f64(2, 0))], [1 / 4, 0])
    assert.deepStrictEqual([...rowWeights(new PolicyLoss.TokenMean(), f64(2, 0))], [1 / 2, 1 / 2])
    assert.deepStrictEqual([...rowWeights(new PolicyLoss.TokenMean(), f64(0, 0))], [0, 0])
    assert.deepStrictEqual([...rowWeights(new PolicyLoss.TokenMean(), f64(0, 0), { denominator: 4 })], [0, 0])
  })

  it("invariants 19, 20: with the batch's denominator micro-batches add up, at every aggregation; means of means do not", () => {
    fc.assert(fc.property(batches, policyLosses, fc.constantFrom(0, 0.3), (batch, of, beta) => {
      const [tokens, rows] = [batch.logps.length, batch.offsets.length - 1]
      fc.pre(of.entropyCoef === 0)
      const denominator = of.aggregation._tag === "TokenMean" ? tokens : rows
      const parts = Array.from({ length: rows }, (_, row) => {
        const cut = (xs: Float64Array) => xs.slice(batch.offsets[row], batch.offsets[row + 1])
        return policyGradient(
          {
            logps: cut(batch.logps),
            oldLogps: cut(batch.oldLogps),
            advantages: cut(batch.advantages),
            refLogps: cut(batch.refLogps),
            samplerLogps: cut(batch.samplerLogps!),
            offsets: i32(0, batch.offsets[row + 1]! - batch.offsets[row]!)
          },
          of,
          { beta, maxLength, denominator }
        )
      })
      const whole = run(batch, of, beta)
      assertClose([parts.reduce((sum, part) => sum + part.loss, 0)], [whole.loss], 1e-10)
      assertClose(parts.flatMap(({ gradient }) => Array.from(gradient)), whole.gradient, 1e-10)
    }))
    const of = loss(ratio(new PolicyLoss.Unclipped()))
    const part = (a: Float64Array) => run(single(a.map(() => 0), a.map(() => 0), a), of).loss
    const whole = run({ ...single(f64(0, 0, 0), f64(0, 0, 0), f64(1, 4, 4)), offsets: i32(0, 1, 3) }, of).loss
    assert.isAbove(Math.abs((part(f64(1)) + part(f64(4, 4))) / 2 - whole), 0.1)
  })

  it("truncated importance sampling weighs a token by min(π_old/π_sampler, cap), and KL in the loss not at all", () => {
    const of = loss(ratio(new PolicyLoss.Unclipped()), new PolicyLoss.SequenceSum(), {
      importanceCap: 2,
      kl: new PolicyLoss.KlInLoss({ estimator: "k2" })
    })
    const batch = {
      ...single(f64(-1, -1), f64(-1, -1), f64(1, 1)),
      samplerLogps: f64(-1 - Math.log(5), -1 + Math.LN2),
      refLogps: f64(-2, -2)
    }
    assert.closeTo(run(batch, of).loss, -2 - 0.5, 1e-15)
    assert.closeTo(run(batch, of, 1).loss, -2.5 + 1, 1e-15)
    assertClose(run(batch, of, 1).gradient, [-2 + 1, -0.5 + 1], 1e-15)
  })

  it("an entropy bonus leaves a uniform policy alone, and raises what is unlikely", () => {
    const [four, one] = [Math.log(4), f64(0)]
    assertClose(entropyGradient(f64(-four), f64(-four), f64(four)), one, 1e-15)
    // d = log(1/8) + log 4 = −log 2, at ratio 2.
    assertClose(entropyGradient(f64(-Math.log(8)), f64(-Math.log(16)), f64(four)), [2 * Math.LN2], 1e-15)
  })

  it("what a point needs and does not get is a bug that says so", () => {
    const batch = single(f64(-1), f64(-1), f64(1))
    assert.throws(() => run(batch, PolicyGradient.grpo.loss, 0.1), "reference")
    assert.throws(() => run(batch, loss(new PolicyLoss.Likelihood(), undefined, { entropyCoef: 1 })), "entropies")
    assert.throws(() => run(batch, loss(new PolicyLoss.Likelihood(), undefined, { importanceCap: 2 })), "sampler")
  })

  it("no clipping, gate or truncation hides a non-finite log-probability", () => {
    fc.assert(fc.property(policyLosses, fc.constantFrom(NaN, Infinity, -Infinity), (of, x) => {
      const batch = { ...single(f64(x, -1), f64(-1, -1), f64(1, -1)), samplerLogps: f64(-1, -1), entropies: f64(1, 1) }
      assert.isFalse(Number.isFinite(run(batch, of).loss))
    }))
  })
})

/** Ratios at which a clip changes its branch. */
const kinks = (clip: PolicyLoss.Clip): ReadonlyArray<number> =>
  clip._tag === "Clipped"
    ? [1 - clip.low, 1 + clip.high]
    : clip._tag === "DualClipped"
    ? [1 - clip.low, 1 + clip.high, clip.bound]
    : clip._tag === "DetachedWeight"
    ? [clip.max]
    : []

const ratiosOf = (
  { logps, offsets, oldLogps }: PolicyBatch,
  { objective }: PolicyLoss.PolicyLoss
): ReadonlyArray<number> => {
  const d = logps.map((x, t) => x - oldLogps[t]!)
  const level = objective._tag === "Ratio" ? objective.level : objective._tag === "GammaWeighted" ? "sequence" : "token"
  return Array.from(d, (own, t) => {
    if (level === "token") return Math.exp(own)
    const row = offsets.findIndex((end, i) => i > 0 && t < end) - 1
    const all = d.subarray(offsets[row], offsets[row + 1])
    return Math.exp(level === "sequence" ? total(all) : total(all) / all.length)
  })
}

/** The loss with its detached weights as they are at `at`, and no entropy: what the gradient is the derivative of. */
const held = (at: PolicyBatch, of: PolicyLoss.PolicyLoss) => (batch: PolicyBatch, beta: number): number => {
  const { entropies: _, ...rest } = batch
  const { objective } = of
  const bare = new PolicyLoss.PolicyLoss({ ...of, entropyCoef: 0 })
  const detached = objective._tag === "GammaWeighted" ||
    objective._tag === "Ratio" && objective.clip._tag === "DetachedWeight"
  if (!detached) return policyGradient(rest, bare, { beta, maxLength }).loss
  // −w A log π with w held is linear in log π; what else depends on log π is the KL.
  const weight = ratiosOf(at, of).map((rho, t) => {
    if (objective._tag === "Ratio") return Math.min(rho, (objective.clip as PolicyLoss.DetachedWeight).max)
    const g = objective as PolicyLoss.GammaWeighted
    const [k, lambda] = at.advantages[t]! >= 0 ? [g.kPositive, g.lambdaPositive] : [g.kNegative, g.lambdaNegative]
    return rho ** k * Math.exp(lambda * (1 - rho))
  })
  const linear = new PolicyLoss.PolicyLoss({ ...bare, objective: new PolicyLoss.Likelihood() })
  const policy =
    policyGradient({ ...rest, advantages: at.advantages.map((a, t) => a * weight[t]!) }, linear, { maxLength }).loss
  const kl = policyGradient({ ...rest, advantages: at.advantages.map(() => 0) }, bare, { beta, maxLength }).loss
  return policy + kl
}
