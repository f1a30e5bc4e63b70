/** The rollout that `Ppo` shares with `Grpo`: groups, dynamic sampling, the pool of solved prompts, the likelihood of right answers. */
import { Cause, Effect, Exit } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Kl, Pipeline, PolicyGradient, Ppo, Pretrain, Source, Verifier } from "../../dsl/index.ts"
import type { Policy, Row } from "../../src/engine/engine.ts"
import { offsetsOf } from "../../src/engine/engine.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { policyUpdate } from "../../src/training/policyUpdate.ts"
import type { Episodes } from "../../src/training/rollout.ts"
import type { Event } from "../../src/store/runLog.ts"
import { assertClose } from "../losses/gradients.ts"
import { runs, succeeded } from "../interpreters/tiny.ts"

const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const folder = mkdtempSync(join(tmpdir(), "keel-groups-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Policies = Artifact.Of<"BaseModel", "world">
const world = Checkpoint.huggingFace("world", "anywhere")
const ppo = (more: Partial<Parameters<typeof Ppo.make>[1]>, init: Policies = world) =>
  Pipeline.cap(
    Ppo.make({ init, reference: init, value: init, prompts, held }, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 0.05,
      steps: 6,
      batchSize: 16,
      learningRate: 1e-3,
      maxNewTokens: 3,
      measureEvery: 6,
      measureSamples: 16,
      verifiers: [Verifier.keywords()],
      ...more
    }) as Artifact.Any as Artifact.Of<"Policy", "world">,
    { kl: Kl.mnatsPerSequence(100_000), from: init }
  ) as Artifact.Any

const steps = (events: ReadonlyArray<Event>) =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith("ppo") ? [event.metrics] : [])
const simulated = async (more: Parameters<typeof ppo>[0]) => {
  const { events, policies } = await Effect.runPromise(simulate(ppo(more)))
  return { metrics: steps(events), policy: policies.at(-1)! }
}

describe("groups of PPO", () => {
  it("of one completion are PPO as it was", async () => {
    const [plain, ones] = [await simulated({}), await simulated({ groupSize: 1 })]
    assert.deepStrictEqual(ones.policy, { ...plain.policy, stage: ones.policy.stage })
    for (const [n, of] of plain.metrics.entries()) assert.deepInclude(ones.metrics[n]!, of)
  })

  it("invariant 21: dynamic sampling trains on no group of equal scores, and on no more than a batch", async () => {
    const { metrics } = await simulated({ groupSize: 2, dynamicSampling: { maxBatches: 5 } })
    assert.isTrue(metrics.every(({ groups }) => groups! > 0 && groups! <= 16))
    const once = await simulated({ groupSize: 2, dynamicSampling: { maxBatches: 1 } })
    for (const { frac_reward_zero_std: equal, groups } of once.metrics) assert.closeTo(groups!, 16 * (1 - equal!), 1e-9)
    assert.isTrue(once.metrics.some(({ groups }) => groups! < 16))
    assert.isTrue(once.metrics.every(({ episode }, n) => episode === (n + 1) * 32))
    // Further batches fill the places of groups that taught nothing.
    const most = Math.max(...once.metrics.map(({ groups }) => groups!))
    assert.isTrue(metrics.every(({ groups }) => groups! > most || groups === 16))
  })

  it("the overlong punishment is in the score", async () => {
    const [without, all] = [await simulated({ steps: 1 }), await simulated({ steps: 1, overlong: { share: 1 } })]
    const [before, after] = [without, all].map(({ metrics }) => metrics[0]!["objective/scores"]!)
    const length = without.metrics[0]!["completions/mean_length"]!
    assert.closeTo(before! - after!, length / 3, 1e-9)
  })

  it("mistakes are said", () => {
    const told = (more: Parameters<typeof ppo>[0]) => problems(ppo(more)).map(({ problem }) => problem).join("\n")
    assert.include(told({ dynamicSampling: { maxBatches: 2 } }), "groupSize is 1: raise it")
    assert.include(told({ verifiers: [], positiveNll: 0.1 }), "positiveNll needs a verifier")
    assert.include(told({ verifiers: [], solvedAgain: 0.1 }), "solvedAgain needs a verifier")
    assert.strictEqual(told({ groupSize: 2, dynamicSampling: { maxBatches: 2 }, solvedAgain: 0, positiveNll: 1 }), "")
  })
})

describe("the likelihood of right answers", () => {
  const [logps, lengths, passed] = [Float64Array.of(-0.5, -1, -2, -0.25, -3), [2, 1, 2], [true, false, true]]
  const rows = lengths.map((length): Row => ({ prompt: Int32Array.of(1), completion: new Int32Array(length) }))
  const rollout: Episodes = {
    rows,
    offsets: offsetsOf(rows),
    logps,
    samplerLogps: logps,
    refLogps: null,
    scores: Float64Array.of(1, 0, 1),
    earned: null,
    passed,
    metrics: {}
  }
  /** The gradient of an update on these rows, and its metrics. */
  const updated = (positiveNll: number | undefined, of: ReadonlyArray<number>) => {
    const gradients: Array<Float64Array> = []
    const policy = {
      logprobs: (batch: ReadonlyArray<Row>) => {
        const at = of.flatMap((i) => [...logps.subarray(rollout.offsets[i], rollout.offsets[i + 1])])
        assert.lengthOf(batch, of.length)
        return { logps: Float64Array.from(at), entropies: new Float64Array(at.length) }
      },
      backward: (gradient: Float64Array) => gradients.push(gradient),
      step: () => 1
    } as unknown as Policy
    const metrics = Effect.runSync(policyUpdate(policy, rollout, of, {
      loss: PolicyGradient.ppo.loss,
      beta: 0,
      maxNewTokens: 2,
      temperature: 1,
      positiveNll,
      update: { learningRate: 1 } as never,
      advantages: (all) => new Float64Array(all.length).fill(1)
    }, () => ({})))
    return { gradient: gradients[0]!, metrics: metrics! }
  }

  it("by hand: −μ/Σ|y| at each token of a completion that passed, 0 at others", () => {
    // On policy with A = 1 each of N tokens has −1/N.
    const { gradient, metrics } = updated(0.2, [0, 1, 2])
    assertClose(gradient, Float64Array.of(-0.25, -0.25, -0.2, -0.25, -0.25), 1e-12)
    assert.closeTo(metrics["loss/positive_nll"]!, (0.5 + 1 + 0.25 + 3) / 4, 1e-12)
    assertClose(updated(0.2, [2, 1]).gradient, Float64Array.of(-1 / 3 - 0.1, -1 / 3 - 0.1, -1 / 3), 1e-12)
    // None passed, and left out.
    assertClose(updated(0.2, [1]).gradient, Float64Array.of(-1), 1e-12)
    assertClose(updated(undefined, [0, 1, 2]).gradient, new Float64Array(5).fill(-0.2), 1e-12)
  })

  it("raises the share of right answers, by enumeration, where advantages are 0", async () => {
    // The reward of each completion is its baseline: no verdict counts.
    const none = { steps: 20, whitenAdvantages: false, verifiers: [Verifier.keywords({ weight: 1e-9 })] }
    const [without, much] = [await simulated(none), await simulated({ ...none, positiveNll: 0.1 })]
    const rightOf = ({ policy }: typeof much) => policy.attainable!.reward / 1e-9
    assert.isAbove(rightOf(much), rightOf(without) + 0.1)
    assert.include(much.policy.noOptimum.join(), "right completions")
  })
})

describe("on the transformer", () => {
  const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
    family: "world",
    model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
    steps: 2,
    batchSize: 2,
    learningRate: 3e-3
  })

  it("a step whose groups all have equal scores makes no update", async () => {
    const root = ppo({
      groupSize: 2,
      batchSize: 2,
      steps: 2,
      maxNewTokens: 6,
      verifiers: [Verifier.pattern("^")],
      dynamicSampling: { maxBatches: 2 }
    }, base as Artifact.Any as Policies)
    const { events } = succeeded(await runs(root, join(folder, "whole")))
    for (const metrics of steps(events)) {
      assert.deepInclude(metrics, { groups: 0, frac_reward_zero_std: 1, reward: 1 })
      assert.isUndefined(metrics["loss/policy_avg"])
      assert.isUndefined(metrics["loss/value_avg"])
    }
    const far = events.flatMap((event) => event._tag === "Measured" ? [event.measurement.mean] : [])
    assert.isAtLeast(far.length, 1)
    assert.isTrue(far.every((mean) => mean === 0))
  })

  it("stopped and resumed with a pool of solved prompts is the run that was not: bit for bit", async () => {
    const root = ppo({
      groupSize: 2,
      batchSize: 2,
      maxNewTokens: 6,
      verifiers: [Verifier.pattern("^[a-m]")],
      solvedAgain: 0.4,
      dynamicSampling: { maxBatches: 2 },
      positiveNll: 0.1,
      checkpointEvery: 1
    }, base as Artifact.Any as Policies)
    const whole = succeeded(await runs(root, join(folder, "whole")))
    assert.isTrue(steps(whole.events).some((metrics) => metrics["solved/share"]! > 0))
    const store = join(folder, "stopped")
    const first = await runs(root, store, {
      stopAt: (event) => event._tag === "Step" && event.stage.startsWith("ppo") && event.step === 3
    })
    assert.isTrue(Exit.isFailure(first.exit) && Cause.hasInterrupts(first.exit.cause))
    const second = succeeded(await runs(root, store))
    assert.deepStrictEqual(steps(second.events), steps(whole.events).slice(3))
  }, 120_000)
})
