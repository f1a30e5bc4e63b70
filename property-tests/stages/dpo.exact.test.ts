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
