import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Batch, Logprobs, Weights } from "../../src/engine/engine.ts"
import { language, policyWeights } from "../../src/engine/tabular/checkpoint.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import type { Table } from "../../src/engine/tabular/exact.ts"
import * as Exact from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import type { World } from "../../src/engine/tabular/world.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { gae } from "../../src/losses/gae.ts"
import type { KlEstimator } from "../../src/losses/kl.ts"
import { kl } from "../../src/losses/kl.ts"
import { ppo } from "../../src/losses/ppo.ts"
import { beforeTokens, beforeTokensBackward, sumRows } from "../../src/losses/ragged.ts"
import { tokenRewards } from "../../src/losses/rewards.ts"
import { valueLoss } from "../../src/losses/value.ts"
import { whiten } from "../../src/losses/whiten.ts"
import { assertClose, finiteDifferences, numbers, total } from "../losses/gradients.ts"
import { klLoss } from "../losses/klLoss.ts"
import { everyRow, randomPolicy, readGradient, worlds } from "./tabularWorlds.ts"

const betas = fc.double({ min: 0.2, max: 3, noNaN: true })
const cases = fc.record({ any: worlds, key: fc.string({ maxLength: 4 }), beta: betas })
const few = { numRuns: 25 }
/** Long enough for tokens to change which states come later. */
const long = world({ prompts: 1, vocab: 3, horizon: 3, seed: "long" })
const logitsOf = (weights: Weights): Float64Array => Float64Array.from(weights.tensors.get("logits")!.data)
const flat = (table: Table): Float64Array => Float64Array.from(table.flatMap((of) => Array.from(of)))
/** Policy, reference and their tables. */
const pairOf = (any: World, key: string) => {
  const [policy, reference] = [randomPolicy(any, `${key}/policy`), randomPolicy(any, `${key}/reference`)]
  return { policy, reference, logP: Exact.logDistribution(any, policy), logQ: Exact.logDistribution(any, reference) }
}
/** Derivative of a function of a policy's table of logits. */
const slope = (any: World, at: Weights, f: (logps: Table) => number): Float64Array =>
  finiteDifferences((logits) => f(Exact.logDistribution(any, policyWeights(any, logits))), logitsOf(at))

/**
 * The expectation, over prompts and completions of the policy, of the gradient of a loss on the batch of every completion:
 * the loss gives each token's gradient for weight 1, and each row is weighted by its probability.
 */
const expectedGradient = (
  any: World,
  policy: Weights,
  gradientOf: (batch: Batch, logprobs: Logprobs) => Float64Array
) => {
  const opened = tabular(any).policy(policy)
  const rows = everyRow(any)
  const logprobs = opened.logprobs(rows, { retain: true })
  const gradient = gradientOf(rows, logprobs)
  sumRows(logprobs.logps, logprobs.offsets).forEach((logp, row) => {
    const weight = Math.exp(logp) / any.prompts.length
    for (let t = logprobs.offsets[row]!; t < logprobs.offsets[row + 1]!; t++) gradient[t]! *= weight
  })
  opened.backward(gradient)
  return readGradient(opened, "logits").gradient
}

/** E over completions of `visits` of Σ_t KL(π‖ref at the state before token t), mean over prompts. */
const expectedTokenKl = (any: World, visits: Weights, policy: Weights, reference: Weights): number => {
  const rows = everyRow(any)
  const actions = any.vocabulary.length
  const probs = Array.from(flat(Exact.logDistribution(any, visits)), Math.exp)
  const weights: Array<number> = []
  const next = rows.flatMap(({ completion, prompt }, row) =>
    Array.from(completion).flatMap((_, t) => {
      weights.push(probs[row]! / any.prompts.length)
      return Array.from({ length: actions }, (_, a) => ({
        prompt,
        completion: Int32Array.from([...completion.slice(0, t), a])
      }))
    })
  )
  const last = (of: Weights): Array<number> => {
    const { logps, offsets } = tabular(any).policy(of).logprobs(next)
    return next.map((_, i) => logps[offsets[i + 1]! - 1]!)
  }
  const [p, q] = [last(policy), last(reference)]
  return p.reduce((sum, logp, i) => sum + weights[Math.floor(i / actions)]! * Math.exp(logp) * (logp - q[i]!), 0)
}

describe("enumeration", () => {
  it("by hand: one letter, horizon 2", () => {
    // Completions "" (</s>), "a" (a </s>) and "a a" (cut off). With logits 0 at the root and ln 3 for a after a:
    // 1/2, 1/2 · 1/4, 1/2 · 3/4. Against the uniform policy (1/2, 1/4, 1/4) the KL is 1/8 ln(1/2) + 3/8 ln(3/2).
    const tiny = world({ prompts: 1, vocab: 2, horizon: 2, seed: "tiny" })
    assert.deepStrictEqual(Exact.completions(tiny).map(({ finished, text }) => [text, finished]), [
      ["", true],
      ["a", true],
      ["a a", false]
    ])
    const logps = Exact.logDistribution(tiny, policyWeights(tiny, Float64Array.of(0, 0, Math.log(3), 0)))
    assertClose(logps[0]!.map(Math.exp), [1 / 2, 1 / 8, 3 / 8], 1e-15)
    const uniform = Exact.logDistribution(tiny, policyWeights(tiny, new Float64Array(4)))
    const expected = Math.log(1 / 2) / 8 + 3 * Math.log(3 / 2) / 8
    assert.closeTo(Exact.kl(logps, uniform).mean, expected, 1e-15)
    assert.closeTo(Exact.expectedReward(logps, [Float64Array.of(8, 16, 0)]).mean, 6, 1e-12)
  })

  it("completions are distinct, fill the horizon and all have a gold reward", () => {
    fc.assert(fc.property(worlds, (any) => {
      const all = Exact.completions(any)
      const letters = any.vocabulary.length - 1
      const count = Array.from({ length: any.horizon + 1 }, (_, t) => letters ** t).reduce((a, b) => a + b)
      assert.strictEqual(new Set(all.map(({ text }) => text)).size, count)
      assert.isTrue(all.every(({ tokens }) => tokens.length >= 1 && tokens.length <= any.horizon))
      assert.isTrue(flat(Exact.rewardTable(any)).every(Number.isFinite))
    }))
  })

  it("policyOf is the inverse of logDistribution; probability 0 included", () => {
    fc.assert(fc.property(cases, ({ any, key }) => {
      const { logP } = pairOf(any, key)
      assertClose(flat(Exact.logDistribution(any, Exact.policyOf(any, logP))), flat(logP), 1e-12)
    }))
    const sparse = world({ prompts: 1, vocab: 3, horizon: 2, seed: "zero" })
    const some = [Float64Array.from([0.25, 0, 0, 0.75, 0, 0, 0], Math.log)]
    assertClose(
      Exact.logDistribution(sparse, Exact.policyOf(sparse, some))[0]!.map(Math.exp),
      some[0]!.map(Math.exp),
      1e-15
    )
  })

  it("a scorer's table is its value after the last token", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const scorer = tabular(any).scorer(randomPolicy(any, key))
        const rows = everyRow(any)
        const { offsets, values } = scorer.values(rows, { retain: true })
        scorer.backward(values.map((_, i) => Math.sin(i)))
        scorer.step({ learningRate: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 })
        const after = scorer.values(rows).values
        const expected = rows.map((_, i) => after[offsets[i + 1]! - 1]!)
        assertClose(flat(Exact.scoreTable(any, scorer.weights())), expected, 0)
      }),
      few
    )
  })
})

describe("KL", () => {
  it("invariant 1: KL(p, p) = 0 and KL ≥ 0, both directions", () => {
    fc.assert(fc.property(cases, ({ any, key }) => {
      const { logP, logQ } = pairOf(any, key)
      assert.strictEqual(Exact.kl(logP, logP).mean, 0)
      assert.isTrue(Exact.kl(logP, logQ).prompts.every((x) => x > 0))
      assert.isTrue(Exact.kl(logQ, logP).prompts.every((x) => x > 0))
    }))
  })

  it("invariant 4: chain rule: the KL of whole completions is the expected sum of the KLs of their tokens", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const { logP, logQ, policy, reference } = pairOf(any, key)
        assert.closeTo(expectedTokenKl(any, policy, policy, reference), Exact.kl(logP, logQ).mean, 1e-12)
      }),
      few
    )
  })

  it("invariant 2: E[k1] = E[k3] = the exact KL, summed over tokens; E[k2] is not", () => {
    const expected = (any: World, key: string, estimator: KlEstimator): number => {
      const { logP, policy, reference } = pairOf(any, key)
      const rows = everyRow(any)
      const [p, q] = [policy, reference].map((of) => tabular(any).policy(of).logprobs(rows))
      const { sequences } = kl(p!.logps, q!.logps, p!.offsets, estimator)
      return total(flat(logP).map((logp, row) => Math.exp(logp) * sequences[row]!)) / any.prompts.length
    }
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const { logP, logQ } = pairOf(any, key)
        const exact = Exact.kl(logP, logQ).mean
        assert.closeTo(expected(any, key, "k1"), exact, 1e-12)
        assert.closeTo(expected(any, key, "k3"), exact, 1e-12)
      }),
      few
    )
    const { logP, logQ } = pairOf(long, "k2")
    // 0.0077 nats: nine orders of magnitude above what the equalities are held to.
    assert.isAbove(Math.abs(expected(long, "k2", "k2") - Exact.kl(logP, logQ).mean), 1e-3)
  })
})

describe("3. what a KL estimator trains, by enumeration", () => {
  const lossGradient = (any: World, key: string, estimator: KlEstimator, level: "token" | "sequence") => {
    const { policy, reference } = pairOf(any, key)
    return expectedGradient(any, policy, (rows, { logps, offsets }) => {
      const refLogps = tabular(any).policy(reference).logprobs(rows).logps
      return klLoss(logps, refLogps, offsets, { estimator, level, denominator: 1 }).gradient
    })
  }

  it("invariant 3: k1 as a loss: nothing, exactly, at either level", () => {
    fc.assert(
      fc.property(cases, fc.constantFrom("token" as const, "sequence" as const), ({ any, key }, level) => {
        const gradient = lossGradient(any, key, "k1", level)
        assertClose(gradient, new Float64Array(gradient.length), 1e-14)
      }),
      few
    )
  })

  it("invariant 3: k2 as a loss on sequences: ∇KL(π‖ref)", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const { logQ, policy } = pairOf(any, key)
        const expected = slope(any, policy, (logps) => Exact.kl(logps, logQ).mean)
        assertClose(lossGradient(any, key, "k2", "sequence"), expected, 1e-8)
      }),
      few
    )
  })

  it("invariant 3: k3 as a loss on sequences: ∇KL(ref‖π), the forward KL", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const { logQ, policy } = pairOf(any, key)
        const expected = slope(any, policy, (logps) => Exact.kl(logQ, logps).mean)
        assertClose(lossGradient(any, key, "k3", "sequence"), expected, 1e-7)
      }),
      few
    )
  })

  it("k2 as a loss on tokens: ∇ of the KLs at the states visited, visits held fixed; so not ∇KL(π‖ref)", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const { policy, reference } = pairOf(any, key)
        const frozen = (logits: Float64Array): number =>
          expectedTokenKl(any, policy, policyWeights(any, logits), reference)
        const expected = finiteDifferences(frozen, logitsOf(policy))
        assertClose(lossGradient(any, key, "k2", "token"), expected, 1e-8)
      }),
      { numRuns: 4 }
    )
    const { logQ, policy } = pairOf(long, "long")
    const whole = slope(long, policy, (logps) => Exact.kl(logps, logQ).mean)
    const difference = lossGradient(long, "long", "k2", "token").map((x, i) => x - whole[i]!)
    assert.isAbove(Math.hypot(...difference), 0.01)
  })

  it("invariant 3: k1 in the reward, detached: ∇KL(π‖ref), whatever the baseline", () => {
    fc.assert(
      fc.property(cases, numbers(-2, 2, 1), ({ any, key }, constant) => {
        const { logQ, policy, reference } = pairOf(any, key)
        const gradient = expectedGradient(any, policy, (rows, { logps, offsets }) => {
          const refLogps = tabular(any).policy(reference).logprobs(rows).logps
          const scores = new Float64Array(rows.length)
          const { rewards } = tokenRewards(logps, refLogps, scores, offsets, { beta: 1 })
          const { advantages } = gae(rewards, rewards.map(() => constant[0]!), offsets, { gamma: 1, lambda: 1 })
          return ppo(logps, logps, advantages, { clipRange: 0.2, denominator: 1 }).gradient
        })
        assertClose(gradient, slope(any, policy, (logps) => Exact.kl(logps, logQ).mean), 1e-8)
      }),
      few
    )
  })
})

describe("policy gradient", () => {
  it("invariant 15: the expected score is 0", () => {
    fc.assert(
      fc.property(cases, ({ any, key }) => {
        const gradient = expectedGradient(any, randomPolicy(any, key), (_, { logps }) => logps.map(() => 1))
        assertClose(gradient, new Float64Array(gradient.length), 1e-14)
      }),
      few
    )
  })

  it("the exact gradient of J = E[r] − β KL is its finite difference", () => {
    fc.assert(
      fc.property(cases, ({ any, beta, key }) => {
        const { logQ, policy } = pairOf(any, key)
        const reward = Exact.rewardTable(any)
        const expected = slope(any, policy, (logps) => Exact.objective(logps, logQ, reward, beta))
        assertClose(Exact.objectiveGradient(any, policy, logQ, reward, beta), expected, 1e-8)
      }),
      few
    )
  })

  it("invariant 15: PPO at ratio 1 with the KL in the reward and λ = 1 has it in expectation, whatever the values of the states", () => {
    fc.assert(
      fc.property(cases, ({ any, beta, key }) => {
        const { logQ, policy, reference } = pairOf(any, key)
        const gradient = expectedGradient(any, policy, (rows, { logps, offsets }) => {
          const refLogps = tabular(any).policy(reference).logprobs(rows).logps
          const scores = flat(Exact.rewardTable(any))
          const { rewards } = tokenRewards(logps, refLogps, scores, offsets, { beta })
          // A value of the state alone: of the prompt and the tokens so far.
          const values = Float64Array.from(
            rows.flatMap(({ completion, prompt }) =>
              Array.from(completion, (_, t) =>
                Math.sin(
                  prompt[1]! + completion.slice(0, t).reduce((h, id) => 7 * h + id, 1)
                ))
            )
          )
          const { advantages } = gae(rewards, values, offsets, { gamma: 1, lambda: 1 })
          return ppo(logps, logps, advantages, { clipRange: 0.2, denominator: 1 }).gradient
        })
        const exact = Exact.objectiveGradient(any, policy, logQ, Exact.rewardTable(any), beta)
        assertClose(
          gradient,
          exact.map((x) => -x),
          1e-10
        )
      }),
      few
    )
  })
})

describe("the most reward at a KL", () => {
  it("is not below that of any policy with this KL, and is the optimum's at its own", () => {
    const two = world({ prompts: 2, vocab: 3, horizon: 2, seed: "most" })
    fc.assert(
      fc.property(
        fc.string(),
        fc.double({ min: 0.1, max: 3, noNaN: true }),
        fc.double({ min: 0.05, max: 5, noNaN: true }),
        (key, spread, beta) => {
          const [policy, ref] = [`${key}/policy`, `${key}/ref`].map((name) =>
            Exact.logDistribution(two, randomPolicy(two, name, spread))
          )
          const reward = Exact.rewardTable(two)
          const [now, distance] = [Exact.expectedReward(policy!, reward).mean, Exact.kl(policy!, ref!).mean]
          const most = Exact.mostReward(ref!, reward, distance)
          assert.isAtLeast(most, now - 1e-9)
          assert.isAtMost(most, reward.reduce((sum, of) => sum + Math.max(...of) / 2, 0) + 1e-9)
          const best = Exact.optimum(ref!, reward, beta)
          assert.closeTo(Exact.mostReward(ref!, reward, best.kl.mean), best.reward.mean, 1e-9)
          assert.closeTo(Exact.mostReward(ref!, reward, 0), Exact.expectedReward(ref!, reward).mean, 1e-12)
          assert.closeTo(Exact.mostReward(ref!, reward.map((of) => of.map(() => 2)), distance), 2, 1e-12)
        }
      ),
      { numRuns: 50 }
    )
  })
})

describe("8. the optimum π* ∝ ref · exp(r / β)", () => {
  const parts = (any: World, key: string, beta: number) => {
    const pair = pairOf(any, key)
    const reward = Exact.rewardTable(any)
    return { ...pair, reward, best: Exact.optimum(pair.logQ, reward, beta) }
  }

  it("invariant 8: is a distribution; KL = E r / β − log Z is its KL; β log Z is its J", () => {
    fc.assert(fc.property(cases, ({ any, beta, key }) => {
      const { best, logQ, reward } = parts(any, key, beta)
      best.logps.forEach((of) => assert.closeTo(total(of.map(Math.exp)), 1, 1e-12))
      assertClose(best.kl.prompts, Exact.kl(best.logps, logQ).prompts, 1e-10)
      assert.closeTo(best.value.mean, Exact.objective(best.logps, logQ, reward, beta), 1e-10)
    }))
  })

  it("invariant 8: regret is a KL: J(π*) − J(π) = β KL(π‖π*), so nothing is better", () => {
    fc.assert(fc.property(cases, ({ any, beta, key }) => {
      const { best, logP, logQ, reward } = parts(any, key, beta)
      const regret = best.value.mean - Exact.objective(logP, logQ, reward, beta)
      assert.closeTo(regret, beta * Exact.kl(logP, best.logps).mean, 1e-10)
      assert.isAtLeast(regret, 0)
    }))
  })

  it("the gradient of J is 0 there", () => {
    fc.assert(fc.property(cases, ({ any, beta, key }) => {
      const { best, logQ, reward } = parts(any, key, beta)
      const gradient = Exact.objectiveGradient(any, Exact.policyOf(any, best.logps), logQ, reward, beta)
      assertClose(gradient, new Float64Array(gradient.length), 1e-12)
    }))
  })

  it("invariant 8: KL falls as β rises; β → ∞ is the reference; β → 0 puts everything on the best completion", () => {
    fc.assert(fc.property(cases, betas, ({ any, beta, key }, other) => {
      const { logQ, reward } = parts(any, key, beta)
      const spent = (b: number): number => Exact.optimum(logQ, reward, b).kl.mean
      assert.isAtLeast(spent(Math.min(beta, other)), spent(Math.max(beta, other)) - 1e-10)
      assertClose(flat(Exact.optimum(logQ, reward, 1e9).logps), flat(logQ), 1e-7)
      const greedy = Exact.optimum(logQ, reward, 1e-5).reward.mean
      assert.closeTo(greedy, reward.reduce((sum, of) => sum + Math.max(...of), 0) / any.prompts.length, 1e-2)
    }))
  })

  it("invariant 8: a constant per prompt changes nothing; nor does scaling reward and β together", () => {
    fc.assert(fc.property(cases, numbers(0.5, 4, 1), ({ any, beta, key }, [c]) => {
      const { best, logQ, reward } = parts(any, key, beta)
      const shifted = reward.map((of, p) => of.map((r) => r + (p + 1) * c!))
      const scaled = reward.map((of) => of.map((r) => r * c!))
      assertClose(flat(Exact.optimum(logQ, shifted, beta).logps), flat(best.logps), 1e-10)
      assertClose(flat(Exact.optimum(logQ, scaled, beta * c!).logps), flat(best.logps), 1e-10)
    }))
  })

  it("invariant 9: two tilts of one reference add", () => {
    fc.assert(fc.property(cases, betas, ({ any, beta, key }, other) => {
      const { best, logQ, reward } = parts(any, key, beta)
      const twice = Exact.optimum(best.logps, reward, other).logps
      assertClose(flat(twice), flat(Exact.optimum(logQ, reward, 1 / (1 / beta + 1 / other)).logps), 1e-10)
    }))
  })
})

describe("PPO with sampled completions", () => {
  it("approaches π*: the losses and the engine's verbs alone", { timeout: 30_000 }, () => {
    const small = world({ prompts: 2, vocab: 3, horizon: 3, seed: "ppo" })
    const [engine, codec, beta] = [tabular(small), codecOf(small), 0.5]
    const sampling = { maxNewTokens: 3, temperature: 1, topK: 0, topP: 1, stop: codec.stop }
    const reference = engine.policy(language(small))
    const policy = engine.policy(language(small))
    const critic = engine.scorer(language(small))
    const logRef = Exact.logDistribution(small, language(small))
    const best = Exact.optimum(logRef, Exact.rewardTable(small), beta)
    const distance = (): number => Exact.kl(Exact.logDistribution(small, policy.weights()), best.logps).mean
    const initial = distance()

    const [iterations, perPrompt] = [120, 128]
    for (let iteration = 0; iteration < iterations; iteration++) {
      const names = small.prompts.flatMap((name) => Array<string>(perPrompt).fill(name))
      const prompts = names.map(codec.encodePrompt)
      const samples = policy.sample(prompts, sampling, names.map((_, i) => `${iteration}/${i}`))
      const batch = samples.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
      const { logps: oldLogps, offsets } = policy.logprobs(batch)
      const scores = Float64Array.from(batch, ({ completion }, i) => small.gold(names[i]!, codec.decode(completion)))
      const { rewards } = tokenRewards(oldLogps, reference.logprobs(batch).logps, scores, offsets, { beta })
      const oldValues = beforeTokens(critic.values(batch).values, offsets)
      const { advantages, returns } = gae(rewards, oldValues, offsets, { gamma: 1, lambda: 0.95 })
      const whitened = whiten(advantages)
      const update = { betas: [0.9, 0.99] as const, eps: 1e-8, weightDecay: 0, maxGradNorm: 1 }
      const learningRate = 0.05 * (1 - iteration / iterations)
      for (let epoch = 0; epoch < 4; epoch++) {
        const { logps } = policy.logprobs(batch, { retain: true })
        policy.backward(ppo(logps, oldLogps, whitened, { clipRange: 0.2 }).gradient)
        policy.step({ ...update, learningRate })
        const values = beforeTokens(critic.values(batch, { retain: true }).values, offsets)
        const { gradient } = valueLoss(values, oldValues, returns, { clipRange: 0.2 })
        critic.backward(beforeTokensBackward(gradient, offsets))
        critic.step({ ...update, learningRate: 2 * learningRate })
      }
    }

    const final = Exact.logDistribution(small, policy.weights())
    const kls = [Exact.kl(final, logRef).mean, best.kl.mean]
    const rewards = [final, best.logps].map((logps) => Exact.expectedReward(logps, Exact.rewardTable(small)).mean)
    assert.isAbove(initial, 0.5)
    assert.isBelow(distance(), 1e-3)
    assert.closeTo(kls[0]!, kls[1]!, 0.01)
    assert.closeTo(rewards[0]!, rewards[1]!, 0.01)
  })
})
