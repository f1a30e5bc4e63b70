import { Effect, Exit } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Control } from "../../dsl/index.ts"
import { asEnvironment, type Bandit, type Environment } from "../../src/control/environment.ts"
import { episodes } from "../../src/control/episodes.ts"
import { network } from "../../src/control/network.ts"
import { learner } from "../../src/control/train.ts"
import { control } from "../../src/interpreters/control.ts"
import { stream } from "../../src/sampling/random.ts"
import { assertClose, finiteDifferences } from "../losses/gradients.ts"

describe("the network", () => {
  it("invariant 34: its gradient is the finite differences, for any depth", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 4 }),
        fc.string(),
        (sizes, key) => {
          const random = stream(key)
          const net = network(sizes, random, 1)
          const inputs = Float64Array.from({ length: 3 * sizes[0]! }, () => random.normal())
          const weights = Float64Array.from({ length: 3 * sizes.at(-1)! }, () => random.normal())
          const loss = () => net.forward(inputs).reduce((sum, y, i) => sum + weights[i]! * y + y * y, 0)
          const outputs = net.forward(inputs, { retain: true })
          net.backward(outputs.map((y, i) => weights[i]! + 2 * y))
          const expected = finiteDifferences((parameters) => {
            const before = net.parameters.slice()
            net.parameters.set(parameters)
            const value = loss()
            net.parameters.set(before)
            return value
          }, net.parameters)
          assertClose(net.gradient, expected, 1e-6)
        }
      ),
      { numRuns: 40 }
    )
  })
})

/** Two contexts; the better response is the context's own number. */
const bandit: Bandit<0 | 1> = {
  setting: { horizon: 1, transition: "none", reward: "response", discount: 1 },
  actions: 3,
  features: 2,
  start: (random) => random.int(2) as 0 | 1,
  reward: (context, response) => response === context ? 1 : 0,
  observe: (context) => context === 0 ? [1, 0] : [0, 1]
}

/** Walks along a corridor of `length` cells; 0 stays and 1 goes on; −1 a step, it ends at the last one. */
const corridor = (length: number, horizon: number): Environment<number> => ({
  setting: { horizon, transition: "environment", reward: "step", discount: 0.9 },
  actions: 2,
  features: 1,
  start: () => 0,
  step: (at, action) => ({ state: at + action, reward: -1, terminated: at + action === length }),
  observe: (at) => [at / length]
})

describe("episodes", () => {
  const policy = network([1, 2], stream("policy"), 0.01)

  it("end by the rules or are cut off at the horizon, and say which; each depends on its seed alone", () => {
    const seeds = ["a", "b", "c"]
    const cut = episodes(corridor(100, 10), policy, seeds)
    assert.deepStrictEqual([...cut.offsets], [0, 10, 20, 30])
    assert.isTrue(cut.cutOff.every((seen) => seen !== null))
    assert.strictEqual(cut.meanReturn, -10)
    const ended = episodes(corridor(3, 500), policy, seeds)
    assert.isTrue(ended.cutOff.every((seen) => seen === null))
    seeds.forEach((seed, i) => {
      const alone = episodes(corridor(3, 500), policy, [seed])
      assert.deepStrictEqual(alone.actions, ended.actions.slice(ended.offsets[i], ended.offsets[i + 1]))
      // Three of the moves went on, the last of them last.
      assert.strictEqual(alone.actions.reduce((sum, a) => sum + a, 0), 3)
      assert.strictEqual(alone.actions.at(-1), 1)
    })
  })

  it("that are cut off go on at the value of their last state, those that end do not", () => {
    const living = (ends: boolean): Environment<number> => ({
      ...corridor(5, 5),
      step: (at) => ({ state: at + 1, reward: 1, terminated: ends && at === 4 }),
      observe: () => [1]
    })
    const worth = (ends: boolean): number => {
      const description = Control.ppo("cartpole", { hidden: [], lam: 1, learningRate: 0.05, steps: 1000 })
      const { step, value } = learner(living(ends), description, "living")
      for (let n = 0; n < 400; n++) step(n)
      return value(0)
    }
    // Every state looks the same. For ever: 1 / (1 − γ). Five steps: the mean of Σ_{k<K} γᵏ over K = 1 … 5.
    assert.closeTo(worth(false), 10, 0.2)
    const left = [1, 2, 3, 4, 5].map((k) => (1 - 0.9 ** k) / 0.1)
    assert.closeTo(worth(true), left.reduce((sum, x) => sum + x, 0) / 5, 0.1)
  })
})

describe("policy gradients with the losses of language models", () => {
  it.each(["ppo", "reinforce"] as const)(
    "%s finds the better response of a bandit, an environment of one step",
    (name) => {
      const description = Control[name]("cartpole", {
        episodesPerStep: 64,
        miniBatchSize: 64,
        learningRate: 0.02,
        hidden: [8]
      })
      const { evaluate, step } = learner(asEnvironment(bandit), description, "bandit")
      assert.closeTo(evaluate("before", 600), 1 / 3, 0.08)
      for (let n = 0; n < 60; n++) step(n)
      assert.isAbove(evaluate("after", 300), 0.95)
    }
  )

  it("learn to hurry where every step costs", () => {
    const { evaluate, step } = learner(corridor(4, 60), Control.ppo("cartpole", { hidden: [8] }), "corridor")
    const before = evaluate("before", 100)
    for (let n = 0; n < 40; n++) step(n)
    assert.isBelow(before, -6.5)
    assert.isAbove(evaluate("after", 100), -4.5)
  })

  const short = { steps: 12, episodesPerStep: 12, evaluateEvery: 12, evaluationEpisodes: 20, solvedAt: 1000 }

  it("balance the pole clearly longer after a few steps, the same way every time", async () => {
    const run = () => Effect.runPromise(control(Control.ppo("cartpole", short)))
    const { policy, progress, solved } = await run()
    assert.isFalse(solved)
    assert.strictEqual(progress.length, 12)
    assert.isBelow(progress[0]!.meanReturn, 50)
    assert.isAbove(progress.at(-1)!.evaluation!, 4 * progress[0]!.meanReturn)
    const again = await run()
    assert.deepStrictEqual(again.progress, progress)
    assert.deepStrictEqual(again.policy, policy)
    const other = await Effect.runPromise(control(Control.ppo("cartpole", { ...short, steps: 1, seed: 1 })))
    assert.notStrictEqual(other.progress[0]!.meanReturn, progress[0]!.meanReturn)
  })

  it("REINFORCE improves too, and stops when it is solved", async () => {
    const { progress } = await Effect.runPromise(control(Control.reinforce("cartpole", { ...short, steps: 24 })))
    assert.isAbove(progress.at(-1)!.meanReturn, 2 * progress[0]!.meanReturn)
    const soon = await Effect.runPromise(
      control(Control.reinforce("cartpole", { ...short, evaluateEvery: 1, solvedAt: 5 }))
    )
    assert.isTrue(soon.solved)
    assert.strictEqual(soon.progress.length, 1)
  })

  it("refuse a description with all its mistakes", async () => {
    const wrong = { discount: 2, learningRate: -1, hidden: [0], hiden: [3] }
    const exit = await Effect.runPromiseExit(control(Control.ppo("cartpole", wrong)))
    assert.isTrue(Exit.isFailure(exit))
    for (const part of ["discount", "learningRate", "hidden.0", "hiden"]) assert.include(String(exit), part)
  })

  it("that leave the numbers end as Diverged", async () => {
    const exit = await Effect.runPromiseExit(
      control(Control.ppo("cartpole", { ...short, learningRate: 1e300, maxGradNorm: 1e300 }))
    )
    assert.isTrue(Exit.isFailure(exit))
    assert.include(String(exit), "Diverged")
  })
})
