/** Episodes of several turns: by enumeration on the tabular engine, and token by token. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "vitest"
import { Environment, Grpo, Kl, PolicyGradient, Ppo } from "../../dsl/index.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import { offsetsOf, ownTokens, type Policy, type Row, type Sampled, type Weights } from "../../src/engine/engine.ts"
import { scorerWeights, uniform } from "../../src/engine/tabular/checkpoint.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { treeOf } from "../../src/engine/tabular/tree.ts"
import type { World } from "../../src/engine/tabular/world.ts"
import { tokenAdvantages } from "../../src/losses/advantages.ts"
import { policyGradient } from "../../src/losses/policyGradient.ts"
import { pick } from "../../src/training/rollout.ts"
import * as JudgeLayer from "../../src/rewards/judge.ts"
import { grpo } from "../../src/stages/grpo.ts"
import { ppo } from "../../src/stages/ppo.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"
import { answeringOf } from "../../src/training/answering.ts"
import { rollout } from "../../src/training/rollout.ts"
import { randomPolicy, readGradient } from "../engine/tabularWorlds.ts"
import { assertClose, finiteDifferences } from "../losses/gradients.ts"

/** The numbers 1, 2 and 3 and what `GuessNumber` says, a token each; a turn is a token. */
const world: World = {
  name: "guesses",
  prompts: ["p0"],
  vocabulary: ["1", "2", "3", "higher", "lower", "</s>"],
  horizon: 5,
  gold: () => 0,
  seed: "guesses"
}
const codec = codecOf(world)
const hidden = ["1", "2", "3"]
const rows = hidden.map((answer) => ({ prompt: "p0", answer }))
const discount = 0.8
const game = Environment.guessNumber({ maxTurns: 3, discount })

/** J by the rules of the game, apart from Keel's code: every guess is −1, 0 or 1 numbers away from the hidden one. */
const exactly = (logits: Float64Array): number => {
  const tree = treeOf(world)
  const value = (goal: number, node: number, turn: number): number => {
    const row = logits.subarray(node * tree.actions, (node + 1) * tree.actions)
    const total = row.reduce((sum, z) => sum + Math.exp(z), 0)
    let sum = 0
    for (let guess = 0; guess < 3; guess++) {
      const p = Math.exp(row[guess]!) / total
      if (guess === goal) sum += p * discount ** turn
      else if (turn < 2) {
        const said = guess < goal ? 3 : 4
        const child = node * tree.letters + 1 + guess
        sum += p * value(goal, child * tree.letters + 1 + said, turn + 1)
      }
    }
    return sum
  }
  return [0, 1, 2].reduce((sum, goal) => sum + value(goal, 0, 0) / 3, 0)
}

const judge = JudgeLayer.layer()
const use = { stage: "here", codec, context: world.horizon + 2 }
const sampling = { maxNewTokens: 1, temperature: 1, topK: 0, topP: 1, stop: codec.stop }

/** A policy that writes what it is told, a token a turn. */
const scripted = (own: Policy, scripts: ReadonlyArray<ReadonlyArray<number>>): Policy => {
  return {
    ...own,
    sample: (prompts, _, seeds) =>
      prompts.map((__, i): Sampled => {
        const [script, turn = "turn0"] = seeds[i]!.split("/") as [string, string?]
        const token = scripts[Number(script)]![Number(turn.slice(4))]!
        return { completion: Int32Array.of(token), logps: new Float64Array(1), finished: codec.stop.includes(token) }
      })
  }
}

/** Every episode that there is for the hidden number `answer`, once, with its numbers. */
const everyEpisode = (own: Policy, reference: Policy | null, answer: string) =>
  Effect.gen(function*() {
    const all = Array.from({ length: 6 ** 3 }, (_, n) => [n % 6, Math.floor(n / 6) % 6, Math.floor(n / 36)])
    const answering = yield* answeringOf(use, game)
    const scoring = {
      stage: "here",
      reward: null,
      codec,
      verifiers: [],
      judge: yield* JudgeLayer.Judge,
      missingEosPenalty: 0,
      maxNewTokens: 1
    }
    const prompt = { ids: codec.encodePrompt("p0"), row: { prompt: "p0", answer, row: 1 }, world: "" }
    const found = yield* rollout(
      {
        answering,
        policy: scripted(own, all),
        reference,
        sampling,
        scoring,
        readsSampler: false,
        now: { step: 0, running: {} }
      },
      all.map(() => prompt),
      all.map((_, i) => String(i))
    )
    const texts = found.rows.map(({ completion }) => String(completion))
    const once = texts.flatMap((text, i) => texts.indexOf(text) === i ? [i] : [])
    return { found, once }
  }).pipe(Effect.provide(judge), Effect.runSync)

describe("the gradient through turns", () => {
  const weights = randomPolicy(world, "episodes")
  const logits = Float64Array.from(weights.tensors.get("logits")!.data)
  const slope = finiteDifferences(exactly, logits)

  /** E over groups of `groupSize` episodes of one row, and over rows, of the gradient of −loss. */
  const expected = (advantage: "MonteCarlo" | "LeaveOneOut", groupSize: number): Float64Array => {
    const policy = tabular(world).policy(weights)
    const byRow = rows.map(({ answer }) => {
      const { found, once } = everyEpisode(policy, null, answer)
      const of = (row: number, tokens: Float64Array) => pick(tokens, found.offsets, [row])
      const mass = once.map((row) => Math.exp(of(row, found.logps).reduce((sum, x) => sum + x, 0)))
      const gradient = new Float64Array(found.logps.length)
      const group: Array<number> = []
      const visit = (weight: number): void => {
        if (group.length < groupSize) {
          for (const [k, row] of once.entries()) {
            group.push(row)
            visit(weight * mass[k]!)
            group.pop()
          }
          return
        }
        const batch = group.map((row) => found.rows[row]!)
        const offsets = offsetsOf(batch)
        const logps = pick(found.logps, found.offsets, group)
        const { advantages } = tokenAdvantages({ _tag: advantage }, {
          scores: Float64Array.from(group, (row) => found.scores[row]!),
          logps,
          refLogps: null,
          earned: pick(found.earned!, found.offsets, group),
          offsets
        }, { beta: 0, groupSize })
        const loss = policyGradient(
          { logps, oldLogps: logps, advantages, offsets },
          PolicyGradient.reinforce.loss,
          { beta: 0, maxLength: 3 }
        )
        group.forEach((row, i) => {
          for (let t = offsets[i]!; t < offsets[i + 1]!; t++) {
            gradient[found.offsets[row]! + t - offsets[i]!]! -= weight * loss.gradient[t]!
          }
        })
      }
      visit(1)
      return { rows: found.rows, gradient, mass: mass.reduce((sum, p) => sum + p, 0) }
    })
    for (const { gradient, mass, rows } of byRow) {
      // The episodes are all that there are.
      assert.closeTo(mass, 1, 1e-12)
      policy.logprobs(rows, { retain: true })
      policy.backward(gradient.map((g) => g / hidden.length))
    }
    return readGradient(policy, "logits").gradient
  }

  it("of a Monte Carlo return is ∇J, γ and the rewards of each turn included", () => {
    assert.isAbove(Math.max(...slope.map(Math.abs)), 0.01)
    assertClose(expected("MonteCarlo", 1), slope, 1e-7)
  })

  it("of two episodes compared is ∇J too", () => {
    assertClose(expected("LeaveOneOut", 2), slope, 1e-7)
  })
})

describe("the tokens of an environment", () => {
  it("have no log-probability, no KL, no value and no gradient", () => {
    const row: Row = {
      prompt: codec.encodePrompt("p0"),
      completion: Int32Array.of(1, 3, 2),
      given: Uint8Array.of(0, 1, 0)
    }
    assert.deepStrictEqual([...ownTokens(row)], [1, 2])
    const [policy, other] = [tabular(world).policy(randomPolicy(world, "a")), tabular(world).policy(uniform(world))]
    const whole = policy.logprobs([{ prompt: row.prompt, completion: row.completion }]).logps
    assert.deepStrictEqual([...policy.logprobs([row]).logps], [whole[0], whole[2]])
    const between = (batch: ReadonlyArray<Row>) =>
      policy.divergences(batch, other, (a, b) => a.reduce((sum, x, i) => sum + Math.exp(x) * (x - b[i]!), 0)).values
    const all = between([{ prompt: row.prompt, completion: row.completion }])
    assert.deepStrictEqual([...between([row])], [all[0], all[2]])
    const scores = Float64Array.from({ length: treeOf(world).nodes }, (_, i) => i)
    const scorer = tabular(world).scorer(scorerWeights(world, scores))
    const values = scorer.values([{ prompt: row.prompt, completion: row.completion }]).values
    assert.deepStrictEqual([...scorer.values([row]).values], [values[0], values[2], values[3]])
    policy.logprobs([row], { retain: true })
    policy.backward(Float64Array.of(1, 1))
    const { gradient } = readGradient(policy, "logits")
    const tree = treeOf(world)
    // The state in which the environment wrote.
    const state = 1 + 1
    assert.isTrue(gradient.subarray(state * tree.actions, (state + 1) * tree.actions).every((g) => g === 0))
    assert.isTrue(gradient.some((g) => g !== 0))
  })
})

describe("learning the game", () => {
  const scope = { key: "k", stream: "s", label: "game", limits: { kl: [] } }
  const run = async <A, E>(stage: Effect.Effect<A, E, any>) => {
    const events: Array<Event> = []
    const services = Layer.mergeAll(
      Layer.succeed(CurrentEngine, tabular(world)),
      judge,
      MemoryStore.layer,
      NodeFileSystem.layer,
      Layer.succeed(RunLog, { emit: (event) => Effect.sync(() => void events.push(event)) })
    )
    return { made: await Effect.runPromise(Effect.provide(stage, services) as Effect.Effect<A, E>), events }
  }
  const common = {
    allowance: Kl.mnatsPerSequence(100_000),
    beta: 0,
    steps: 60,
    learningRate: 0.3,
    maxNewTokens: 1,
    measureEvery: 30,
    environment: game
  }
  /** J of the best policy: 2 first, then the number that is left. */
  const best = (1 + 2 * discount) / 3
  const returnOf = (weights: Weights) => exactly(Float64Array.from(weights.tensors.get("logits")!.data))

  it("GRPO comes near the best policy, which halves what is left; the same twice; its episodes are told", async () => {
    const train = () =>
      run(grpo(new Grpo.Grpo({ ...PolicyGradient.rloo, ...common, batchSize: 3, groupSize: 16 }), {
        init: uniform(world),
        reference: undefined,
        reward: undefined,
        prompts: rows,
        held: rows
      }, scope))
    const { events, made } = await train()
    assert.isBelow(returnOf(uniform(world)), 0.4)
    assert.isAbove(returnOf(made), 0.95 * best)
    assert.deepStrictEqual((await train()).made.tensors, made.tensors)
    const observed = events.flatMap((event) => event._tag === "Observed" ? [event] : [])
    assert.deepStrictEqual(observed.map(({ step }) => step), [0, 30, 60])
    assert.closeTo(observed.at(-1)!.observed["reward"]!, returnOf(made), 0.05)
    const told = events.flatMap((event) => event._tag === "Sampled" ? [event.completion] : [])
    assert.isTrue(told.some((text) => /^\d\n\[user\] (higher|lower)\n/u.test(text)))
  })

  it("PPO with a value model, GAE and per-turn rewards does too", async () => {
    const { made } = await run(ppo(
      new Ppo.Ppo({ ...PolicyGradient.ppo, ...common, batchSize: 48, learningRate: 0.1, valueLearningRate: 0.1 }),
      {
        init: uniform(world),
        reference: undefined,
        reward: undefined,
        value: scorerWeights(world, new Float64Array(treeOf(world).nodes)),
        prompts: rows,
        held: rows,
        pretraining: undefined
      },
      scope
    ))
    assert.isAbove(returnOf(made), 0.9 * best)
  })

  it("has the optimum that the description says", () => {
    /** The best return with `n` numbers left, by trying every guess. */
    const value = (n: number, turns: number): number => {
      if (n === 0 || turns === 0) return 0
      let most = 0
      for (let guess = 0; guess < n; guess++) {
        const [below, above] = [guess, n - 1 - guess]
        const later = below * value(below, turns - 1) + above * value(above, turns - 1)
        most = Math.max(most, (1 + discount * later) / n)
      }
      return most
    }
    for (let n = 1; n < 12; n++) {
      for (const maxTurns of [1, 2, 3, 4]) {
        let said = 0
        for (let m = 1; m <= n && m < 2 ** maxTurns; m++) said += discount ** Math.floor(Math.log2(m)) / n
        assert.closeTo(value(n, maxTurns), said, 1e-12)
      }
    }
  })
})
