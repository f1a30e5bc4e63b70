/** Rewards made of rewards in every stage that takes one: by enumeration where all is exact, and on a tiny transformer. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit, Result } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Compare,
  Evaluate,
  Gate,
  Gold,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  Ppo,
  RejectionSampling,
  Render,
  Reward,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { ScoredRow } from "../../src/data/rows.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { completions, rewardTable, scoreTable } from "../../src/engine/tabular/exact.ts"
import { problems } from "../../src/interpreters/check.ts"
import { scoresOf } from "../../src/interpreters/exactPolicy.ts"
import { rewardOf } from "../../src/interpreters/inputs.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { plan } from "../../src/planning/plan.ts"
import { verifier } from "../../src/rewards/own.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, engine, failed, runs, succeeded, tiny, train } from "./tiny.ts"
import { made, rowsOf, small } from "./worldly.ts"

const folder = folders("reward")
const { base, held, prompts, sft, reward: model } = tiny()
const fit = { batchSize: 2, learningRate: 3e-3 }
const spends = {
  ...fit,
  allowance: Kl.mnatsPerSequence(1),
  beta: 0,
  steps: 4,
  maxNewTokens: 6,
  measureSamples: 2,
  measureMost: 2,
  measureEvery: 4,
  checkpointEvery: 1
} as const
const capped = (policy: Artifact.Any): Artifact.Any =>
  Pipeline.cap(policy as never, { kl: Kl.mnatsPerSequence(50_000), from: sft } as never)
const words = Reward.verify(Verifier.noRepetition({ n: 1, weight: 2 }))
const mistakes = (root: Artifact.Any) => problems(root).map(({ problem }) => problem)

describe("by enumeration", () => {
  const judge = RewardModeling.make({ init: base, preferences: Source.preferences(Source.tales({ count: 8 })) }, fit)
  const sampled = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 6, maxNewTokens: small.horizon })
  /** Each row with the exact number of the reward model, and the verdict. */
  const exact = async () => {
    const value = await made(judge)
    assert(value._tag === "Model")
    const [table, gold, all] = [scoreTable(small, value.weights), rewardTable(small), completions(small)]
    return ({ completion, ended, prompt }: ScoredRow) => {
      const p = small.prompts.indexOf(prompt)
      const n = all.findIndex(({ finished, text }) => text === completion && finished === ended)
      return { r: table[p]![n]!, v: gold[p]![n]! > 0 ? 2 : 0 }
    }
  }
  const scored = (reward: Artifact.Any) =>
    rowsOf<ScoredRow>(Score.byReward({ completions: sampled, reward } as never, { batchSize: 7 }) as Artifact.Any)
  const near = (rows: ReadonlyArray<ScoredRow>, wanted: ReadonlyArray<number>) =>
    rows.forEach(({ score }, i) => assert.closeTo(score, wanted[i]!, 1e-9))

  it("sum, gate, clip, sigmoid and whiten are what they say of every completion", async () => {
    const numbers = await exact()
    const sum = await scored(Reward.sum({ model: judge, words }, { model: 3 }))
    near(sum, sum.map((row) => 3 * numbers(row).r + numbers(row).v))
    assert.isTrue(sum.some((row) => numbers(row).v > 0) && sum.some((row) => numbers(row).v === 0))
    const bound = sum.map((row) => numbers(row).r).sort((a, b) => a - b)[sum.length >> 1]!
    const gated = await scored(Reward.gate({ when: Reward.below(judge, bound), then: words, otherwise: judge }))
    near(gated, gated.map((row) => numbers(row).r < bound ? numbers(row).v : numbers(row).r))
    const clipped = await scored(Reward.clip(judge, { min: bound, max: bound + 1 }))
    near(clipped, clipped.map((row) => Math.min(bound + 1, Math.max(bound, numbers(row).r))))
    const odds = await scored(Reward.logit(Reward.sigmoid(judge)))
    odds.forEach((row) => assert.closeTo(row.score, numbers(row).r, 1e-6))
    // Over all completions of the stage, though it works in chunks of 7.
    const white = await scored(Reward.whiten(judge))
    const all = white.map((row) => numbers(row).r)
    const mean = all.reduce((sum, x) => sum + x, 0) / all.length
    const deviation = Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (all.length - 1) + 1e-8)
    near(white, all.map((r) => (r - mean) / deviation))
  })

  it("in a simulation the own reward of a stage is that of its parts, and a whitened one has no optimum", async () => {
    const rl = (reward: Artifact.Any) =>
      Grpo.make({ init: sft, reference: sft, reward, prompts, held } as never, {
        ...spends,
        ...PolicyGradient.rloo,
        beta: 0.5,
        groupSize: 2
      } as never) as Artifact.Any
    const of = async (reward: Artifact.Any) => {
      const { policies } = await Effect.runPromise(simulate(capped(rl(reward))))
      return policies.at(-1)!
    }
    const table = async (reward: Artifact.Any) => {
      const value = await made(judge)
      assert(value._tag === "Model")
      const composed = await Effect.runPromise(rewardOf(reward, () => Effect.succeed(value.weights)))
      const scores = await Effect.runPromise(scoresOf(small, stageOf(rl(reward)) as never, composed))
      return scores.flatMap((of) => [...of])
    }
    const [one, model] = [await table(words), await table(judge)]
    assert.sameMembers([...new Set(one)], [0, 2])
    assert.deepStrictEqual(
      await table(Reward.sum({ a: words, b: judge }, { b: 2 })),
      one.map((x, i) => x + 2 * model[i]!)
    )
    assert.deepStrictEqual(
      await table(Reward.gate({ when: Reward.below(words, 1), then: judge, otherwise: words })),
      one.map((x, i) => x < 1 ? model[i]! : x)
    )
    // Kinds in turn: the first prompt of the world is of the first.
    const half = one.length / 2
    assert.deepStrictEqual(
      await table(Reward.byKind({ a: words, b: judge })),
      one.map((x, i) => i < half ? x : model[i]!)
    )
    assert.deepStrictEqual(await table(Reward.whiten(words)), one)
    const clipped = Reward.clip(words, { min: 0, max: 9 })
    const [plain, always] = [
      await of(words),
      await of(Reward.gate({ when: Reward.below(words, 3), then: words, otherwise: clipped }))
    ]
    assert.isNotNull(plain.optimum)
    assert.closeTo(always.optimum!.kl, plain.optimum!.kl, 1e-12)
    const later = await of(Reward.from(2, Reward.whiten(words)))
    assert.isNull(later.optimum)
    assert.include(later.noOptimum.join(), "whitened by other completions")
    assert.include(later.noOptimum.join(), "changes after step 2")
  })
})

describe("a description", () => {
  const all = Reward.sum({
    task: Reward.byKind({
      maths: Reward.verify(Verifier.mathematics()),
      chat: Reward.from(3, Reward.of(model, { reads: { after: "</think>" } }))
    }, { column: "source" }),
    safe: Reward.gate({
      when: Reward.either(Reward.kindIs("safety"), Reward.below(Reward.sigmoid(model), 0.15)),
      then: Reward.logit(Reward.sigmoid(model)),
      otherwise: Reward.clip(words, { min: 0, max: 1 })
    }),
    white: Reward.whiten(model, { over: "run" })
  }, { safe: 0.5 })

  it("survives JSON, is drawn, and has no mistakes", () => {
    const root = capped(Grpo.make({ init: sft, reward: all, prompts, held }, { ...spends, groupSize: 2 }))
    assert.deepStrictEqual(mistakes(root), [])
    const again = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root)))
    assert.strictEqual(again.id, root.id)
    assert.include(Render.mermaid(root), "-- parts.task -->")
    assert.include(Render.text(root), "Reward")
  })

  it("with a wrong part is refused by the compiler's own sentence", () => {
    const foreign = RewardModeling.make({
      init: Pipeline.input("base", "BaseModel", "other"),
      preferences: Source.preferences(Source.tales({ count: 2 }))
    }, fit)
    const of = (root: unknown) => mistakes(root as Artifact.Any)
    assert.include(
      of(Reward.sum({ a: words, b: sft } as never)),
      "Reward.parts.b needs a reward: RewardModeling.make(…), Reward.verify(…) or another Reward, not a Policy"
    )
    assert.include(
      of(Reward.sum({ a: model, b: foreign } as never)),
      "Reward.parts.b is of family 'other', another of 'tales': they must share a tokenizer"
    )
    const root = Grpo.make({ init: sft, reward: Reward.whiten(foreign), prompts, held } as never, {
      ...spends,
      groupSize: 2
    } as never)
    assert.include(
      of(root).join("\n"),
      "Grpo.reward is of family 'other' but Grpo works on 'tales': they must share a tokenizer"
    )
    assert.include(of(Reward.sum({})), "it has no parts")
    assert.include(of(Reward.clip(words, { min: 2, max: 1 })), "min 2 is above max 1")
    assert.include(
      of(Reward.sum({ a: words }, { b: 1 } as never)),
      "it has a weight for 'b', which is none of its parts"
    )
    const trunk = { init: all, preferences: Source.preferences(Source.tales({ count: 2 })) }
    assert.match(
      of(RewardModeling.make(trunk as never, fit as never)).join(),
      /RewardModeling\.init needs .*, not a Reward/u
    )
  })

  it("is planned with the models inside", async () => {
    const flops = async (reward: Artifact.Any) => {
      const root = capped(
        Grpo.make({ init: sft, reward, prompts, held } as never, { ...spends, groupSize: 2 } as never)
      )
      const { stages } = await Effect.runPromise(Effect.provide(plan(root), NodeServices.layer))
      return stages.find(({ stage }) => stage.startsWith("grpo"))!.flops
    }
    const [none, plain, inside] = [await flops(words), await flops(model), await flops(Reward.sum({ words, model }))]
    assert.strictEqual(plain, inside)
    assert.isAbove(plain, none)
    const later = await flops(Reward.from(2, model))
    assert.isTrue(later > none && later < plain)
  })
})

describe("on a transformer", () => {
  const rows = join(mkdtempSync(join(tmpdir(), "keel-reward-rows-")), "rows.jsonl")
  const prompt = (name: string) => `write a story about ${name} .`
  writeFileSync(
    rows,
    [["words", "a girl"], ["model", "a king"], ["words", "a boat"]].map(([kind, name]) =>
      JSON.stringify({ prompt: prompt(name!), answer: name, kind })
    ).join("\n")
  )
  const mixed = Source.prompts(Source.file(rows))

  it("GRPO and PPO log each part, whitened ones as they were, and go on after a stop to the same bits", async () => {
    const reward = Reward.sum({
      words: Reward.whiten(words, { over: "run" }),
      model: Reward.whiten(model, { over: "run" }),
      late: Reward.from(2, model)
    })
    const wires = { init: sft, reward, prompts, held }
    for (
      const root of [
        capped(Grpo.make(wires, { ...spends, groupSize: 2 })),
        capped(Ppo.make({ ...wires, value: sft }, spends))
      ]
    ) {
      const [whole, stopped] = [folder(), folder()]
      const { events } = succeeded(await runs(root, whole))
      const steps = events.flatMap((event) =>
        event._tag === "Step" && /^(grpo|ppo)/u.test(event.stage) ? [event.metrics] : []
      )
      assert.lengthOf(steps, 4)
      for (const [n, metrics] of steps.entries()) {
        assert.containsAllKeys(metrics, ["rewards/words/mean", "rewards/model/mean", "rewards/late/std"])
        assert.strictEqual(metrics["rewards/late/mean"], n < 2 ? 0 : metrics["rewards/model/mean"]!)
      }
      assert.isTrue(steps.some((metrics) => Math.abs(metrics["rewards/model/mean"]!) > 1e-6))
      const stop = (event: Event) => event._tag === "Step" && /^(grpo|ppo)/u.test(event.stage) && event.step === 2
      assert.isTrue(Exit.isFailure((await runs(root, stopped, { stopAt: stop })).exit))
      succeeded(await runs(root, stopped))
      assert.deepStrictEqual(contents(stopped), contents(whole))
    }
  })

  it("byKind asks only what a row's kind needs, and names the row of no kind", async () => {
    const asked: Array<string> = []
    const own = verifier("Own", ({ kind }) => {
      asked.push(String(kind))
      return 1
    })
    const reward = Reward.byKind({ words: Reward.verify(Verifier.own("Own")), model })
    const root = capped(Grpo.make({ init: sft, reward, prompts: mixed, held }, { ...spends, groupSize: 2 }))
    const on = (root: Artifact.Any) =>
      train(root, { engine: engine(), store: folder(), rewards: [own], onEvent: () => Effect.void }).pipe(
        Effect.provide(NodeServices.layer)
      )
    await Effect.runPromise(on(root))
    assert.deepStrictEqual([...new Set(asked)], ["words"])
    const less = Reward.byKind({ words })
    const wrong = capped(Grpo.make({ init: sft, reward: less, prompts: mixed, held }, { ...spends, groupSize: 2 }))
    const error = failed(await runs(wrong, folder()))
    assert.match(
      error.message,
      /row 2 of its prompts has the kind "model", and its reward is for the kinds words\. Add/u
    )
    const none = capped(Grpo.make({ init: sft, reward: less, prompts, held }, { ...spends, groupSize: 2 }))
    assert.match(
      failed(await runs(none, folder())).message,
      /row 1 of its prompts has no column "kind".*\(as 7 more of 8\)/u
    )
  })

  it("Llama 2's, of two reward models, scores and selects answers, trains a policy and is simulated", async () => {
    const compared = Compare.make({ policy: sft, prompts }, { gold: Gold.tales, maxNewTokens: 6 })
    const safety = RewardModeling.make({ init: sft, preferences: compared }, { ...fit, seed: 1 })
    const [safe, helpful] = [Reward.sigmoid(safety), Reward.sigmoid(model)]
    const when = Reward.either(Reward.kindIs("words"), Reward.below(safe, 0.15))
    const reward = Reward.whiten(Reward.logit(Reward.gate({ when, then: safe, otherwise: helpful })))
    const { selected } = RejectionSampling.make({ policy: sft, prompts: mixed, reward }, {
      completionsPerPrompt: 2,
      maxNewTokens: 4,
      rule: Select.perPrompt()
    })
    const tuned = Sft.make({ base, demonstrations: selected }, fit)
    const root = Pipeline.cap(
      Ppo.make({ init: tuned, reference: tuned, reward, value: model, prompts: mixed, held }, {
        ...spends,
        batchSize: 3,
        beta: 0.01
      }),
      { kl: Kl.mnatsPerSequence(50_000), from: tuned }
    )
    assert.deepStrictEqual(mistakes(root), [])
    const { events } = succeeded(await runs(root, folder()))
    const steps = events.flatMap((event) =>
      event._tag === "Step" && event.stage.startsWith("ppo") ? [event.metrics] : []
    )
    assert.lengthOf(steps, 4)
    for (const metrics of steps) {
      assert.containsAllKeys(metrics, ["rewards/then/mean", "rewards/otherwise/mean"])
      assert.isTrue(Number.isFinite(metrics["objective/scores"]))
    }
    assert.include((await Effect.runPromise(simulate(root))).policies.at(-1)!.noOptimum.join(), "whitened")
  })

  it("Evaluate reports it and its accuracy, Gate guards by it", async () => {
    const reward = Reward.sum({ words, model: Reward.whiten(model) })
    const gold = Gold.tales
    const preferences = Compare.make({ policy: sft, prompts: held }, { gold, completionsPerPrompt: 3, maxNewTokens: 6 })
    const report = Evaluate.make({ initial: sft, reward, prompts: held, preferences }, { sft }, { maxNewTokens: 6 })
    const gated = Gate.make({ candidate: sft, previous: sft, reward, held }, {
      gold,
      maxNewTokens: 6,
      tolerance: { proxy: 0 },
      otherwise: "fail"
    })
    const { exit } = succeeded(await runs(report, folder()))
    assert(Exit.isSuccess(exit))
    const { report: made } = exit.value as {
      readonly report: {
        readonly models: ReadonlyArray<{ readonly proxy: { readonly mean: number } | null }>
        readonly rewardAccuracy: unknown
      }
    }
    assert.isNotNull(made.models[0]!.proxy)
    assert.isNotNull(made.rewardAccuracy)
    succeeded(await runs(gated as Artifact.Any, folder()))
  })
})
