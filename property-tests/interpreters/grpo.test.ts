/** Policy gradients through the stages: the 2-step smoke on both engines, exact optima, verifiers, references that move, resuming. */
import { Cause, Effect, Exit } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Advantage,
  Checkpoint,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  Ppo,
  Pretrain,
  Reference,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate, type Simulated } from "../../src/interpreters/simulate.ts"
import type { Event } from "../../src/store/runLog.ts"
import { failed, runs, succeeded } from "./tiny.ts"

const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const text = Source.text(Source.tales({ count: 12 }))
const { ppo: _1, ppoPtx: _2, ...critics } = PolicyGradient
type More = Partial<Parameters<typeof Grpo.make>[1]>

const folder = mkdtempSync(join(tmpdir(), "keel-grpo-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const base = Pretrain.make({ text }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
  steps: 6,
  batchSize: 2,
  learningRate: 3e-3
})
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 6 })) }, {
  batchSize: 2,
  learningRate: 1e-3
})
const preferences = Source.preferences(Source.tales({ count: 200 }))
const cap = (of: Artifact.Any) =>
  Pipeline.cap(of as never, { kl: Kl.mnatsPerSequence(100_000), from: sft }) as Artifact.Any

const grpo = (more: More = {}) =>
  cap(Grpo.make({ init: sft, reference: sft, prompts, held }, {
    allowance: Kl.mnatsPerSequence(1),
    beta: 0.05,
    steps: 2,
    batchSize: 2,
    groupSize: 3,
    verifiers: [Verifier.keywords(), Verifier.format(["the end ."], { weight: 0.5 })],
    learningRate: 3e-3,
    maxNewTokens: 6,
    measureEvery: 2,
    measureSamples: 4,
    checkpointEvery: 1,
    ...more
  }))

const steps = (events: ReadonlyArray<Event>, stage = "grpo") =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith(stage) ? [event.metrics] : [])

describe("2 steps of every name", () => {
  it("in the simulator", async () => {
    for (const [name, values] of Object.entries(critics)) {
      const { events } = await Effect.runPromise(simulate(grpo({ ...values, maxNewTokens: 3, numIterations: 2 })))
      assert.lengthOf(steps(events), 2, name)
    }
  })

  it(
    "on the transformer, with the reference backend: finite numbers under TRL's names",
    { timeout: 120_000 },
    async () => {
      for (const [name, values] of Object.entries(critics)) {
        // The models before it are made once, in one store.
        const { events } = succeeded(await runs(grpo(values), join(folder, "names")))
        const metrics = steps(events)
        assert.lengthOf(metrics, 2, name)
        for (
          const known of ["reward", "reward_std", "frac_reward_zero_std", "completions/mean_length", "objective/kl"]
        ) {
          assert.isTrue(metrics.every((of) => Number.isFinite(of[known])), `${name} ${known}`)
        }
      }
    }
  )

  const ppo = (more: object, wires: object = {}) => {
    const reward = RewardModeling.make({ init: sft, preferences: compared }, { batchSize: 2, learningRate: 5e-4 })
    return cap(Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held, ...wires }, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 0.05,
      steps: 2,
      batchSize: 4,
      learningRate: 3e-3,
      maxNewTokens: 3,
      measureEvery: 2,
      measureSamples: 4,
      ...more
    } as never))
  }
  const compared = Source.preferences(Source.tales({ count: 8 }))

  it("PPO with all that was added to it, in the simulator", async () => {
    const everything = {
      ...PolicyGradient.ppoPtx,
      advantage: new Advantage.Gae({ valueLam: 1 }),
      valueWarmupSteps: 1,
      referencePolicy: new Reference.MovingAverage({ rate: 0.5, every: 1 }),
      loss: new PolicyLoss.PolicyLoss({
        objective: new PolicyLoss.Ratio({
          level: "token",
          clip: new PolicyLoss.DualClipped({ low: 0.2, high: 0.2, bound: 3 })
        }),
        aggregation: new PolicyLoss.TokenMean(),
        kl: new PolicyLoss.KlInLoss({ estimator: "k3-corrected" }),
        entropyCoef: 0.01,
        importanceCap: 2
      })
    }
    const root = ppo(everything, { pretraining: text })
    assert.deepStrictEqual(problems(root), [])
    const { events } = await Effect.runPromise(simulate(root))
    const metrics = steps(events, "ppo")
    assert.lengthOf(metrics, 2)
    // The first step trains the value model alone.
    assert.isUndefined(metrics[0]!["loss/ptx_avg"])
    for (const name of ["loss/ptx_avg", "loss/kl", "policy/entropy_avg", "loss/value_avg"]) {
      assert.isTrue(Number.isFinite(metrics[1]![name]), name)
    }
  })

  it("PPO-ptx keeps the likelihood of pretraining text up", async () => {
    const after = async (more: object, wires: object) => {
      const { events } = await Effect.runPromise(simulate(ppo({ ...more, steps: 12, beta: 0.2 }, wires)))
      return steps(events, "ppo").map((metrics) => metrics["loss/ptx_avg"]!)
    }
    const losses = await after({ ...PolicyGradient.ppoPtx, batchSize: 16 }, { pretraining: text })
    assert.isBelow(losses.at(-1)!, losses[0]!)
  })
})

describe("GRPO in the simulator", () => {
  const world = Checkpoint.huggingFace("world", "anywhere")
  const reward = RewardModeling.make({ init: world, preferences }, { batchSize: 16, learningRate: 1e-3, epochs: 2 })
  const rl = (steps: number, more: More = {}, wires: object = { reward }) =>
    Pipeline.cap(
      Grpo.make({ init: world, reference: world, prompts, held, ...wires }, {
        ...PolicyGradient.rloo,
        allowance: Kl.mnatsPerSequence(1),
        beta: 0.3,
        steps,
        batchSize: 16,
        groupSize: 16,
        numIterations: 2,
        learningRate: 1e-3,
        schedule: "linear",
        maxNewTokens: 3,
        measureEvery: 40,
        measureSamples: 16,
        ...more
      }),
      { kl: Kl.mnatsPerSequence<number>(20_000), from: world }
    )
  const after = async (root: Artifact.Any) => {
    const { policies } = await Effect.runPromise(simulate(root))
    return policies.at(-1)!
  }

  it("with KL in the reward approaches π* ∝ π_ref exp(r/β), whatever the name", { timeout: 120_000 }, async () => {
    const start = (await after(rl(1))).optimum!.distance
    for (const values of [PolicyGradient.rloo, PolicyGradient.reinforce, PolicyGradient.copg]) {
      const { optimum } = await after(rl(60, { ...values, seed: 1 }))
      assert.isBelow(optimum!.distance, 0.06 * start)
      assert.closeTo(optimum!.klNow, optimum!.kl, 0.25 * optimum!.kl)
    }
  })

  it("learns what verifiers check, towards its optimum; the same twice", async () => {
    const verified = (steps: number) => rl(steps, { beta: 0.5, verifiers: [Verifier.keywords({ weight: 2 })] }, {})
    const [few, many, again] = [await after(verified(1)), await after(verified(40)), await after(verified(40))]
    assert.isAbove(few.optimum!.distance, 10 * many.optimum!.distance)
    assert.isAbove(many.gold, few.gold)
    assert.deepStrictEqual(again, many)
  })

  it("invariant 21: dynamic sampling trains on no group of equal scores, and on no more than a batch", async () => {
    const { events } = await Effect.runPromise(
      simulate(rl(6, { verifiers: [Verifier.keywords()], groupSize: 2, dynamicSampling: { maxBatches: 5 } }, {}))
    )
    const metrics = steps(events)
    assert.isTrue(metrics.every(({ groups }) => groups! > 0 && groups! <= 16))
    const once = await Effect.runPromise(
      simulate(rl(6, { verifiers: [Verifier.keywords()], groupSize: 2, dynamicSampling: { maxBatches: 1 } }, {}))
    )
    for (const { frac_reward_zero_std: equal, groups } of steps(once.events)) {
      assert.closeTo(groups!, 16 * (1 - equal!), 1e-9)
    }
    assert.isTrue(steps(once.events).some(({ groups }) => groups! < 16))
  })

  it("takes solved prompts again with the given probability, and dynamic sampling fills its batches with others", async () => {
    const solving = { verifiers: [Verifier.keywords()], groupSize: 2, dynamicSampling: { maxBatches: 5 } }
    const { events } = await Effect.runPromise(simulate(rl(6, { ...solving, solvedAgain: 0 }, {})))
    const metrics = steps(events)
    assert.isTrue(metrics.some((of) => of["solved/prompts"]! > 0))
    // None of the pool, until there is nothing else.
    for (const [n, of] of metrics.entries()) {
      if (n > 0 && metrics[n - 1]!["solved/prompts"]! < 4) assert.isBelow(of["solved/share"]!, 1)
    }
    const without = await Effect.runPromise(simulate(rl(6, solving, {})))
    assert.isUndefined(steps(without.events)[0]!["solved/prompts"])
    const mistakes = problems(rl(1, { solvedAgain: 0.1 }))
    assert.match(mistakes.map(({ problem }) => problem).join(), /solvedAgain needs a verifier/u)
  })

  it("a reference that is reset lets the policy go further than one that stays: a hidden lowering of β", async () => {
    const klOf = ({ kl }: Simulated["policies"][number]) => kl[0]!.nats
    const still = await after(rl(40))
    const reset = await after(rl(40, { referencePolicy: new Reference.ResetEvery({ steps: 10 }) }))
    const averaged = await after(rl(40, { referencePolicy: new Reference.MovingAverage({ rate: 0.2, every: 1 }) }))
    assert.isAbove(klOf(reset), 1.2 * klOf(still))
    assert.isAbove(klOf(averaged), 1.2 * klOf(still))
    assert.isNotNull(still.optimum)
    assert.isNull(reset.optimum)
  })
})

describe("GRPO on the transformer", () => {
  it(
    "stopped and resumed, with a reference that moves, is the run that was not: bit for bit",
    { timeout: 120_000 },
    async () => {
      const root = grpo({ steps: 4, referencePolicy: new Reference.ResetEvery({ steps: 1 }), numIterations: 2 })
      const whole = succeeded(await runs(root, join(folder, "whole")))
      const store = join(folder, "stopped")
      const first = await runs(root, store, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("grpo") && event.step === 2
      })
      assert.isTrue(Exit.isFailure(first.exit) && Cause.hasInterrupts(first.exit.cause))
      const second = succeeded(await runs(root, store))
      const finals = [whole, second].map(({ events }) => steps(events).at(-1))
      assert.deepStrictEqual(finals[1], finals[0])
    }
  )

  it(
    "stopped and resumed with a pool of solved prompts is the run that was not: bit for bit",
    { timeout: 120_000 },
    async () => {
      const root = grpo({
        steps: 6,
        groupSize: 2,
        verifiers: [Verifier.pattern("^[a-m]")],
        solvedAgain: 0.4,
        dynamicSampling: { maxBatches: 2 },
        learningRate: 1e-4
      })
      const whole = succeeded(await runs(root, join(folder, "whole")))
      const sizes = steps(whole.events).map((metrics) => metrics["solved/prompts"]!)
      assert.isAbove(sizes[2]!, 0)
      assert.isTrue(steps(whole.events).slice(3).some((metrics) => metrics["solved/share"]! > 0))
      const store = join(folder, "pool")
      const first = await runs(root, store, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("grpo") && event.step === 3
      })
      assert.isTrue(Exit.isFailure(first.exit) && Cause.hasInterrupts(first.exit.cause))
      const second = succeeded(await runs(root, store))
      assert.deepStrictEqual(steps(second.events), steps(whole.events).slice(3))
    }
  )

  it("a prompt that is solved in one batch of a step is not taken in the next", async () => {
    const always = { groupSize: 2, verifiers: [Verifier.pattern("^")], learningRate: 1e-4 }
    const root = grpo({ ...always, solvedAgain: 0, dynamicSampling: { maxBatches: 3 } })
    const metrics = steps(succeeded(await runs(root, join(folder, "names"))).events)
    assert.deepStrictEqual(metrics.map((of) => of["solved/prompts"]), [6, 8])
    assert.closeTo(metrics[1]!["solved/share"]!, 4 / 6, 1e-12)
  })

  it("a verifier without answers is said before the first step", async () => {
    const file = join(folder, "prompts.jsonl")
    writeFileSync(file, '{"prompt":"write a story"}\n')
    const root = Pipeline.cap(
      Grpo.make({ init: sft, prompts: Source.prompts(Source.file(file)), held }, {
        allowance: Kl.mnatsPerSequence(1),
        beta: 0,
        steps: 1,
        batchSize: 1,
        groupSize: 2,
        verifiers: [Verifier.lastNumber()],
        learningRate: 1e-3,
        maxNewTokens: 4
      }),
      { kl: Kl.mnatsPerSequence(1000), from: sft }
    )
    const error = failed(await runs(root, join(folder, "names")))
    assert.match(error.message, /row 1 of its prompts has no answer, and LastNumber compares with one/u)
  })
})
