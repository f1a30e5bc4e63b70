/** What direct alignment converges to, by enumeration on small worlds. */
import { assert, describe, it } from "vitest"
import * as PreferenceLoss from "../../dsl/PreferenceLoss.ts"
import { expectedReward, kl, logDistribution, optimum, policyOf, rewardTable } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { type World, world as makeWorld } from "../../src/engine/tabular/world.ts"
import { dpo } from "../../src/losses/dpo.ts"
import { everyRow, randomPolicy, readGradient } from "../engine/tabularWorlds.ts"

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * Loss and gradient over every pair of completions of every prompt, labelled by Bradley–Terry with certainty P(a over b) =
 * σ(r(a) − r(b)): the expectation of the loss over labels, which is cDPO with each pair's own label noise.
 */
const exactly = (world: World, logps: Float64Array, offsets: Int32Array, refLogps: Float64Array, beta: number) => {
  const reward = rewardTable(world)
  const each = reward[0]!.length
  const gradient = new Float64Array(logps.length)
  let loss = 0
  const row = (i: number) => logps.subarray(offsets[i]!, offsets[i + 1]!)
  for (let p = 0; p < world.prompts.length; p++) {
    for (let a = 0; a < each; a++) {
      for (let b = 0; b < a; b++) {
        const [i, j] = [p * each + a, p * each + b]
        const [first, second] = [row(i), row(j)]
        const of = dpo(
          Float64Array.of(...first, ...second),
          Float64Array.of(refLogps[i]!, refLogps[j]!),
          Int32Array.of(0, first.length, first.length + second.length),
          PreferenceLoss.cDpo({ beta, labelSmoothing: logistic(reward[p]![b]! - reward[p]![a]!) })
        )
        loss += of.loss
        of.gradient.forEach((g, t) =>
          gradient[t < first.length ? offsets[i]! + t : offsets[j]! + t - first.length]! += g
        )
      }
    }
  }
  return { loss, gradient }
}

describe("DPO from exact preferences of a reward r", () => {
  const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "dpo" })
  const reference = randomPolicy(world, "dpo/reference")
  const logRef = logDistribution(world, reference)
  const refLogps = Float64Array.from(logRef.flatMap((of) => [...of]))
  const beta = 0.7
  const best = optimum(logRef, rewardTable(world), beta).logps
  const rows = everyRow(world)

  it("has no gradient at π* = π_ref exp(r/β) / Z, and has one elsewhere", () => {
    const slope = (weights: ReturnType<typeof randomPolicy>): number => {
      const policy = tabular(world).policy(weights)
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      policy.backward(exactly(world, logps, offsets, refLogps, beta).gradient)
      return readGradient(policy, "logits").norm
    }
    assert.isBelow(slope(policyOf(world, best)), 1e-9)
    assert.isAbove(slope(reference), 0.1)
    assert.isAbove(slope(policyOf(world, optimum(logRef, rewardTable(world), 1.1 * beta).logps)), 0.01)
  })

  it("converges to π* from the reference", () => {
    const policy = tabular(world).policy(reference)
    const distance = () => kl(logDistribution(world, policy.weights()), best).mean
    const start = distance()
    const seen: Array<number> = []
    for (let step = 0; step < 1500; step++) {
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      policy.backward(exactly(world, logps, offsets, refLogps, beta).gradient)
      policy.step({
        learningRate: 0.05 * (1 - step / 1500),
        betas: [0.9, 0.99],
        eps: 1e-8,
        weightDecay: 0,
        maxGradNorm: Infinity
      })
      if (step % 300 === 299) seen.push(distance())
    }
    assert.isAbove(start, 0.1)
    assert.isBelow(seen.at(-1)!, 1e-5)
    const gold = rewardTable(world)
    const now = expectedReward(logDistribution(world, policy.weights()), gold).mean
    assert.closeTo(now, expectedReward(best, gold).mean, 1e-2)
  })
})

describe("CoPG from scores of answers that another policy wrote", () => {
  const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "copg" })
  const reference = randomPolicy(world, "copg/reference")
  const logRef = logDistribution(world, reference)
  const refLogps = Float64Array.from(logRef.flatMap((of) => [...of]))
  const beta = 0.7
  const gold = rewardTable(world)
  const best = optimum(logRef, gold, beta).logps
  const rows = everyRow(world)
  const each = gold[0]!.length

  /** The gradient over every two independent answers of the writer to each prompt, in either order; of two that are the same it is 0. */
  const expected = (writer: ReadonlyArray<Float64Array>, logps: Float64Array, offsets: Int32Array) => {
    const gradient = new Float64Array(logps.length)
    for (let p = 0; p < world.prompts.length; p++) {
      for (let a = 0; a < each; a++) {
        for (let b = 0; b < a; b++) {
          const [i, j] = [p * each + a, p * each + b]
          const [first, second] = [i, j].map((row) => logps.subarray(offsets[row]!, offsets[row + 1]!))
          const of = dpo(
            Float64Array.of(...first!, ...second!),
            Float64Array.of(refLogps[i]!, refLogps[j]!),
            Int32Array.of(0, first!.length, first!.length + second!.length),
            PreferenceLoss.copg({ beta }),
            Float64Array.of(gold[p]![a]! - gold[p]![b]!)
          )
          const weight = 2 * Math.exp(writer[p]![a]! + writer[p]![b]!)
          of.gradient.forEach((g, t) =>
            gradient[t < first!.length ? offsets[i]! + t : offsets[j]! + t - first!.length]! += weight * g
          )
        }
      }
    }
    return gradient
  }
  const writer = logDistribution(world, randomPolicy(world, "copg/writer"))

  it("has no gradient at π* = π_ref exp(R/β) / Z whoever wrote them, and has one elsewhere", () => {
    const slope = (weights: ReturnType<typeof randomPolicy>, by: ReadonlyArray<Float64Array>): number => {
      const policy = tabular(world).policy(weights)
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      policy.backward(expected(by, logps, offsets))
      return readGradient(policy, "logits").norm
    }
    for (const by of [writer, logRef, best]) {
      assert.isBelow(slope(policyOf(world, best), by), 1e-9)
      assert.isAbove(slope(reference, by), 0.01)
    }
    assert.isAbove(slope(policyOf(world, optimum(logRef, gold, 1.1 * beta).logps), writer), 0.001)
  })

  it("of the policy's own answers its gradient is −2 ∇(E R − β KL), Property 1", () => {
    const weights = randomPolicy(world, "copg/policy")
    const own = logDistribution(world, weights)
    const slopes = (of: (logps: Float64Array, offsets: Int32Array) => Float64Array) => {
      const policy = tabular(world).policy(weights)
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      policy.backward(of(logps, offsets))
      return readGradient(policy, "logits").gradient
    }
    const objective = slopes((logps, offsets) => {
      const gradient = new Float64Array(logps.length)
      own.forEach((of, p) =>
        of.forEach((logp, a) => {
          const row = p * each + a
          const regularized = gold[p]![a]! - beta * (logp - refLogps[row]!)
          gradient.fill(Math.exp(logp) * regularized, offsets[row]!, offsets[row + 1]!)
        })
      )
      return gradient
    })
    const copg = slopes((logps, offsets) => expected(own, logps, offsets))
    copg.forEach((slope, i) => assert.closeTo(slope, -2 * objective[i]!, 1e-10))
  })

  it("converges to π* from the reference", () => {
    const policy = tabular(world).policy(reference)
    const distance = () => kl(logDistribution(world, policy.weights()), best).mean
    assert.isAbove(distance(), 0.1)
    for (let step = 0; step < 1000; step++) {
      const { logps, offsets } = policy.logprobs(rows, { retain: true })
      policy.backward(expected(writer, logps, offsets))
      policy.step({
        learningRate: 0.05 * (1 - step / 1000),
        betas: [0.9, 0.99],
        eps: 1e-8,
        weightDecay: 0,
        maxGradNorm: Infinity
      })
    }
    assert.isBelow(distance(), 1e-5)
  })
})
