/**
 * What policy-gradient estimators do on average, by enumerating every group of completions that a policy can sample on a tiny world:
 * their bias is exactly what `dsl/Advantage.ts` and `dsl/PolicyLoss.ts` say.
 */
import { assert, describe, it } from "vitest"
import { PolicyGradient, PolicyLoss } from "../../dsl/index.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { policyWeights } from "../../src/engine/tabular/checkpoint.ts"
import * as Exact from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { type World, world } from "../../src/engine/tabular/world.ts"
import type { GroupAdvantage } from "../../src/losses/advantages.ts"
import { tokenAdvantages } from "../../src/losses/advantages.ts"
import { policyGradient } from "../../src/losses/policyGradient.ts"
import { sumRows } from "../../src/losses/ragged.ts"
import { assertClose, finiteDifferences } from "../losses/gradients.ts"
import { everyRow, randomPolicy, readGradient } from "./tabularWorlds.ts"

/** One prompt with seven completions of one and two tokens, and a longer one for what depends on which states are visited. */
const small = world({ prompts: 1, vocab: 3, horizon: 2, seed: "groups" })
const long = world({ prompts: 1, vocab: 3, horizon: 3, seed: "long" })
const policyOf = (any: World) => randomPolicy(any, "policy")
const referenceOf = (any: World) => randomPolicy(any, "reference")
const elsewhere = (any: World) => randomPolicy(any, "sampler", 0.7)

const logitsOf = (weights: Weights): Float64Array => Float64Array.from(weights.tensors.get("logits")!.data)
/** At a temperature the policy has the logits z / T. */
const slope = (any: World, at: Weights, f: (logps: Exact.Table) => number, temperature = 1): Float64Array =>
  finiteDifferences(
    (logits) => f(Exact.logDistribution(any, policyWeights(any, logits.map((z) => z / temperature)))),
    logitsOf(at)
  )

interface Estimator {
  readonly world: World
  readonly loss: PolicyLoss.PolicyLoss
  readonly advantage: GroupAdvantage
  readonly groupSize: number
  readonly rewards: Float64Array
  readonly beta?: number
  /** Who samples: the policy itself when left out. */
  readonly sampler?: Weights
  readonly temperature?: number
}

/** E over all groups of the gradient of the loss, as a gradient of what is to be made large (−loss). */
const expected = (
  { advantage, beta = 0, groupSize, loss, rewards, sampler, temperature = 1, world: any }: Estimator
): Float64Array => {
  const [policy, reference] = [policyOf(any), referenceOf(any)]
  const all = everyRow(any)
  const logps = tabular(any).policy(policy).logprobs(all, { temperature })
  const old = tabular(any).policy(sampler ?? policy).logprobs(all, { temperature })
  const ref = tabular(any).policy(reference).logprobs(all, { temperature })
  const mass = sumRows(old.logps, old.offsets).map(Math.exp)
  const of = (tokens: Float64Array, row: number) =>
    Array.from(tokens.subarray(old.offsets[row]!, old.offsets[row + 1]!))
  const byToken = new Float64Array(logps.logps.length)
  const inReward = loss.kl._tag === "KlInReward" && beta > 0

  const group: Array<number> = []
  const visit = (weight: number): void => {
    if (group.length < groupSize) {
      mass.forEach((p, row) => {
        group.push(row)
        visit(weight * p)
        group.pop()
      })
      return
    }
    const flat = (tokens: Float64Array) => Float64Array.from(group.flatMap((row) => of(tokens, row)))
    const offsets = Int32Array.from([0, ...group])
    group.forEach((row, i) => {
      offsets[i + 1] = offsets[i]! + old.offsets[row + 1]! - old.offsets[row]!
    })
    const now = flat(logps.logps)
    const { advantages } = tokenAdvantages(advantage, {
      scores: Float64Array.from(group, (row) => rewards[row]!),
      logps: loss.objective._tag === "Contrastive" ? now : flat(old.logps),
      refLogps: inReward ? flat(ref.logps) : null,
      offsets
    }, { beta, groupSize })
    const { gradient } = policyGradient(
      {
        logps: now,
        oldLogps: flat(old.logps),
        advantages,
        offsets,
        refLogps: flat(ref.logps),
        entropies: flat(logps.entropies)
      },
      loss,
      { beta }
    )
    group.forEach((row, i) => {
      for (let t = offsets[i]!; t < offsets[i + 1]!; t++) {
        byToken[old.offsets[row]! + t - offsets[i]!]! -= weight * gradient[t]!
      }
    })
  }
  visit(1)
  const opened = tabular(any).policy(policy)
  opened.logprobs(all, { retain: true, temperature })
  opened.backward(byToken)
  return readGradient(opened, "logits").gradient
}

const gold = (any: World): Float64Array => Exact.rewardTable(any)[0]!
/** Rewards of 0 and 1. */
const passing = (any: World): Float64Array => {
  const all = gold(any)
  const mean = all.reduce((sum, r) => sum + r, 0) / all.length
  return all.map((r) => r > mean ? 1 : 0)
}
const zero = (any: World): Float64Array => gold(any).map(() => 0)
/** ∇E[r], ∇KL(π‖ref), ∇KL(ref‖π), exactly. */
const reward = (any: World, r = gold(any)) =>
  slope(any, policyOf(any), (logps) => Exact.expectedReward(logps, [r]).mean)
const reverse = (any: World) => {
  const ref = Exact.logDistribution(any, referenceOf(any))
  return slope(any, policyOf(any), (logps) => Exact.kl(logps, ref).mean)
}
const forward = (any: World) => {
  const ref = Exact.logDistribution(any, referenceOf(any))
  return slope(any, policyOf(any), (logps) => Exact.kl(ref, logps).mean)
}
const times = (k: number, xs: Float64Array) => xs.map((x) => k * x)
const plus = (a: Float64Array, b: Float64Array) => a.map((x, i) => x + b[i]!)

const likelihood = PolicyGradient.reinforce.loss
const importance = (
  level: "token" | "sequence",
  kl: PolicyLoss.KlPlacement = new PolicyLoss.KlInReward(),
  aggregation: PolicyLoss.Aggregation = new PolicyLoss.SequenceSum()
) =>
  new PolicyLoss.PolicyLoss({
    objective: new PolicyLoss.Ratio({ level, clip: new PolicyLoss.Unclipped() }),
    aggregation,
    kl
  })
const monteCarlo = { _tag: "MonteCarlo" } as const
const mean = { _tag: "GroupMean" } as const
const others = { _tag: "LeaveOneOut" } as const

describe("the expected gradient over all groups", () => {
  const on = { world: small, loss: likelihood, rewards: gold(small) }

  it("at a temperature T is that of E[r] − β KL of the policy that samples, softmax of z / T, as TRL's", () => {
    const beta = 0.3
    for (const temperature of [0.6, 1.7]) {
      const at = (weights: Weights) =>
        Exact.logDistribution(small, policyWeights(small, logitsOf(weights).map((z) => z / temperature)))
      const ref = at(referenceOf(small))
      const exact = slope(
        small,
        policyOf(small),
        (logps) => Exact.objective(logps, ref, [gold(small)], beta),
        temperature
      )
      assertClose(expected({ ...on, advantage: others, groupSize: 2, beta, temperature }), exact, 1e-8)
      assertClose(
        expected({
          ...on,
          loss: importance("sequence", undefined, new PolicyLoss.SequenceMean()),
          advantage: monteCarlo,
          groupSize: 1,
          temperature,
          sampler: elsewhere(small)
        }),
        slope(small, policyOf(small), (logps) => Exact.expectedReward(logps, [gold(small)]).mean, temperature),
        1e-8
      )
    }
  })

  it("invariant 14: REINFORCE and RLOO are unbiased; the group mean as baseline has (G − 1)/G of the gradient", () => {
    for (const groupSize of [2, 3]) {
      assertClose(expected({ ...on, groupSize, advantage: monteCarlo }), reward(small), 1e-9)
      assertClose(expected({ ...on, groupSize, advantage: others }), reward(small), 1e-9)
      assertClose(
        expected({ ...on, groupSize, advantage: mean }),
        times((groupSize - 1) / groupSize, reward(small)),
        1e-9
      )
    }
  })

  it("invariant 15: any constant added to every reward leaves them all unchanged", () => {
    for (const advantage of [monteCarlo, others, mean]) {
      const shifted = expected({ ...on, groupSize: 2, advantage, rewards: gold(small).map((r) => r + 5) })
      assertClose(shifted, expected({ ...on, groupSize: 2, advantage }), 1e-9)
    }
  })

  it("MaxRL is Σ_{k<G} ∇(pass@k)/k for rewards of 0 and 1, and for no mean reward", () => {
    const passes = passing(small)
    const [p, slopes] = [
      Exact.expectedReward(Exact.logDistribution(small, policyOf(small)), [passes]).mean,
      reward(small, passes)
    ]
    assert.isTrue(p > 0.1 && p < 0.9)
    for (const groupSize of [2, 3, 4]) {
      // ∇(pass@k)/k = (1 − p)^(k − 1) ∇p.
      const weight = Array.from({ length: groupSize - 1 }, (_, k) => (1 - p) ** k).reduce((a, b) => a + b)
      const got = expected({ ...on, groupSize, advantage: PolicyGradient.maxRl.advantage, rewards: passes })
      assertClose(got, times(weight, slopes), 1e-9)
    }
  })

  it("GRPO weighs by 1/std: parallel to ∇p for rewards of 0 and 1, and to no ∇E[r] in general", () => {
    const grpo = { ...on, groupSize: 3, advantage: { _tag: "GroupStd", ddof: 0, epsilon: 0 } as const }
    const passes = passing(small)
    const cosine = (a: Float64Array, b: Float64Array) =>
      a.reduce((sum, x, i) => sum + x * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b)
    assert.closeTo(cosine(expected({ ...grpo, rewards: passes }), reward(small, passes)), 1, 1e-9)
    assert.isBelow(cosine(expected(grpo), reward(small)), 0.999)
  })

  it("per-sequence and token means are biased towards short completions where lengths differ; the sum is not", () => {
    const biased = (aggregation: PolicyLoss.Aggregation) =>
      expected({
        ...on,
        // The empty completion has a reward of 0, and would not show.
        rewards: gold(small).map((r) => r + 1),
        groupSize: 2,
        advantage: monteCarlo,
        loss: new PolicyLoss.PolicyLoss({ objective: new PolicyLoss.Likelihood(), aggregation })
      })
    const parallel = (x: Float64Array) => x.map((g, i) => g / reward(small)[i]!)
    const even = (xs: Float64Array) => Math.max(...xs) - Math.min(...xs) < 1e-6
    assert.isFalse(even(parallel(biased(new PolicyLoss.SequenceMean()))))
    assert.isFalse(even(parallel(biased(new PolicyLoss.TokenMean()))))
    assert.isTrue(even(parallel(biased(new PolicyLoss.FixedLength({ length: 2 })))))
  })
})

describe("invariant 3: the KL placements, by their expected gradients", () => {
  const alone = { groupSize: 1, advantage: monteCarlo, beta: 1 }
  const inLoss = (estimator: PolicyLoss.KlInLoss["estimator"]) => new PolicyLoss.KlInLoss({ estimator })

  it("k1 in the reward: ∇KL(π‖ref), visits included, with every unbiased advantage", () => {
    for (const any of [small, long]) {
      assertClose(
        expected({ ...alone, world: any, loss: likelihood, rewards: zero(any) }),
        times(-1, reverse(any)),
        1e-8
      )
    }
    const both = expected({
      world: small,
      loss: likelihood,
      rewards: gold(small),
      groupSize: 2,
      advantage: others,
      beta: 0.7
    })
    assertClose(both, plus(reward(small), times(-0.7, reverse(small))), 1e-8)
  })

  /** Where one token is all there is, states visited are no question. */
  const flat = world({ prompts: 1, vocab: 4, horizon: 1, seed: "flat" })

  it("k2 in the loss: ∇KL(π‖ref); k3: ∇KL(ref‖π), the forward one", () => {
    const k = (estimator: PolicyLoss.KlInLoss["estimator"], any = flat) =>
      expected({ ...alone, world: any, loss: importance("token", inLoss(estimator)), rewards: zero(any) })
    assertClose(k("k2"), times(-1, reverse(flat)), 1e-8)
    assertClose(k("k3"), times(-1, forward(flat)), 1e-8)
    assertClose(k("k3-corrected"), times(-1, reverse(flat)), 1e-8)
    assert.isAbove(Math.hypot(...plus(forward(flat), times(-1, reverse(flat)))), 0.01)
    // With longer completions the visits are held fixed: no longer the gradient of the whole KL.
    assert.isAbove(Math.hypot(...plus(k("k2", long), reverse(long))), 0.01)
  })

  it("ratio-corrected k3 is exact off policy, at sequence level for whole completions; k2 and k3 are not", () => {
    const off = (any: World, level: "token" | "sequence", estimator: PolicyLoss.KlInLoss["estimator"]) =>
      expected({
        ...alone,
        world: any,
        sampler: elsewhere(any),
        loss: importance(level, inLoss(estimator)),
        rewards: zero(any)
      })
    assertClose(off(flat, "token", "k3-corrected"), times(-1, reverse(flat)), 1e-8)
    assertClose(off(long, "sequence", "k3-corrected"), times(-1, reverse(long)), 1e-8)
    assertClose(
      expected({ ...alone, world: long, loss: importance("sequence", inLoss("k3-corrected")), rewards: zero(long) }),
      times(-1, reverse(long)),
      1e-8
    )
    assert.isAbove(Math.hypot(...plus(off(flat, "token", "k2"), reverse(flat))), 0.01)
    assert.isAbove(Math.hypot(...plus(off(flat, "token", "k3"), forward(flat))), 0.01)
  })
})

describe("off policy", () => {
  const off = { groupSize: 2, advantage: others, rewards: gold(small), world: small, sampler: elsewhere(small) }

  it("the ratio of whole completions gives ∇E[r] for samples of any policy; the token's and none do not", () => {
    // The reward of another completion is a baseline of the sampler's making: independent of this one's score, so no bias.
    // One ratio a completion, so counted once: the sequence mean.
    assertClose(
      expected({ ...off, loss: importance("sequence", undefined, new PolicyLoss.SequenceMean()) }),
      reward(small),
      1e-8
    )
    const wrong = (loss: PolicyLoss.PolicyLoss) =>
      Math.hypot(...plus(expected({ ...off, loss }), times(-1, reward(small))))
    assert.isAbove(wrong(importance("token")), 0.01)
    assert.isAbove(wrong(likelihood), 0.01)
  })

  it("CoPG on policy is RLOO with KL in the reward; off policy its gradient is still 0 at π*", () => {
    const copg = { ...PolicyGradient.copg, groupSize: 2, rewards: gold(small), world: small, beta: 0.7 }
    const rloo = { ...copg, loss: likelihood }
    assertClose(expected(copg), expected(rloo), 1e-10)
    // Rewards for which this policy is the optimum: r = β log(π/ref) + a constant.
    const [now, ref] = [policyOf(small), referenceOf(small)].map((of) => Exact.logDistribution(small, of)[0]!)
    const rewards = now!.map((x, i) => 0.7 * (x - ref![i]!) + 3)
    const there = { ...copg, rewards, sampler: elsewhere(small) }
    assertClose(expected(there), expected(there).map(() => 0), 1e-12)
    assert.isAbove(Math.hypot(...expected({ ...there, loss: likelihood })), 0.01)
  })
})

describe("entropy bonus", () => {
  const entropic = (any: World, sampler?: Weights) =>
    expected({
      world: any,
      groupSize: 1,
      advantage: monteCarlo,
      rewards: zero(any),
      loss: new PolicyLoss.PolicyLoss({
        objective: new PolicyLoss.Likelihood(),
        aggregation: new PolicyLoss.SequenceSum(),
        entropyCoef: 1
      }),
      ...(sampler === undefined ? {} : { sampler })
    })

  it("from sampled tokens has the gradient of the entropy, on policy and off", () => {
    const flat = world({ prompts: 1, vocab: 4, horizon: 1, seed: "flat" })
    const entropy = slope(flat, policyOf(flat), ([logps]) => logps!.reduce((sum, x) => sum - Math.exp(x) * x, 0))
    assertClose(entropic(flat), entropy, 1e-8)
    assertClose(entropic(flat, elsewhere(flat)), entropy, 1e-8)
  })
})
