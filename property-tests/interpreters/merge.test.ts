/** Merging as a stage: on the tabular engine held against enumeration, on the transformer against the formulas. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import fc from "fast-check"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Dimension } from "../../dsl/Budget.ts"
import {
  Checkpoint,
  Compare,
  Gold,
  Kl,
  Merge,
  MergeMethod,
  Pipeline,
  Ppo,
  Pretrain,
  Reward,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Tensors, Weights } from "../../src/engine/engine.ts"
import { kl, logDistribution, policyOf } from "../../src/engine/tabular/exact.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import { klSpenders } from "../../src/interpreters/capsOf.ts"
import { simulate, type Simulated } from "../../src/interpreters/simulate.ts"
import { linear } from "../../src/merging/linear.ts"
import { slerp } from "../../src/merging/slerp.ts"
import { load } from "../../src/model/checkpoint.ts"
import { flat } from "../merging/models.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, failed, folderIn, type Ran, runs, succeeded } from "./tiny.ts"

const measuring = { maxNewTokens: 4, measureSamples: 512 }
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const language = Checkpoint.huggingFace("world", "anywhere")

/** Experts of the world's language on other demonstrations each. */
const expert = (seed: number, learningRate = 5e-4) =>
  Sft.make({ base: language, demonstrations: Source.demonstrations(Source.tales({ count: 64, seed })) }, {
    batchSize: 16,
    learningRate
  })
const rewardModel = (seed: number) =>
  RewardModeling.make({
    init: language,
    preferences: Source.preferences(Source.tales({ count: 64, seed }))
  }, { batchSize: 16, learningRate: 1e-3 })

const run = (root: Artifact.Any): Promise<Simulated> => Effect.runPromise(simulate(root))
const measured = (events: Simulated["events"], of: Artifact.Any) =>
  events.flatMap((event) =>
    event._tag === "Measured" && event.measurement.stage === label(of) ? [event.measurement] : []
  )

describe("KL after a merge", () => {
  const world = makeWorld({ prompts: 1, vocab: 3, horizon: 1, seed: "one token" })
  /** The policy of one token with these probabilities. */
  const policy = (...p: ReadonlyArray<number>) => policyOf(world, [Float64Array.from(p, Math.log)])
  const from = (reference: Weights) => (tensors: Tensors) =>
    kl(logDistribution(world, { ...reference, tensors }), logDistribution(world, reference)).mean

  it("invariant 38: a merge of logits, the geometric mean, can be farther from the initial model than both parents", () => {
    const far = from(policy(0.485, 0.501, 0.014))
    const [a, b] = [policy(0.599, 0.001, 0.4).tensors, policy(0.001, 0.599, 0.4).tensors]
    const merged = linear({ a, b }, { normalize: false })
    // By hand: KL(a) = .599 ln(.599/.485) + .001 ln(.001/.501) + .4 ln(.4/.014) = 1.4611; the mean is (.0544, .0544, .8912) …
    assert.closeTo(far(a), 1.4611, 5e-4)
    assert.isAbove(far(merged), 1.5 * Math.max(far(a), far(b)))
    // … and so it is for SLERP: no interpolation of weights is safe.
    assert.isAbove(far(slerp({ a, b }, { weights: { a: 0.5, b: 0.5 } })), Math.max(far(a), far(b)))
  })

  it("invariant 38: a mixture of the outputs is bounded by the weighted KLs of what it mixes", () => {
    const point = fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0.01, max: 1, noNaN: true })))
      .map((mass) => mass.map((x) => x / mass.reduce((sum, y) => sum + y, 0)))
    fc.assert(
      fc.property(point, point, point, fc.double({ min: 0, max: 1, noNaN: true }), (r, p, q, w) => {
        const far = from(policy(...r))
        const mixture = policy(...p.map((x, i) => w * x + (1 - w) * q[i]!))
        const bound = w * far(policy(...p).tensors) + (1 - w) * far(policy(...q).tensors)
        assert.isAtMost(far(mixture.tensors), bound + 1e-12)
      })
    )
  })

  it("is measured from every parent and, against the cap, from the initial model; as exact enumeration says", async () => {
    const [left, right] = [expert(1), expert(2)]
    const merged = Merge.make({ held }, { left, right }, { ...measuring, method: MergeMethod.uniformSoup })
    const root = Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(20_000), from: language })
    const { events, policies } = await run(root)
    const found = measured(events, merged)
    assert.sameMembers(found.map(({ from }) => from), [label(left), label(right), label(language)])
    for (const { cap, from } of found) assert.strictEqual(cap, from === label(language) ? 20 : null)
    const [exact] = policies.find(({ stage }) => stage === label(merged))!.kl
    const told = found.find(({ cap }) => cap !== null)!
    assert.isAbove(exact!.nats, 0)
    assert.closeTo(told.mean, exact!.nats, 5 * told.standardError)
  })

  it("above the cap is a typed failure", async () => {
    const left = expert(1)
    const merged = Merge.make({ held }, { left, right: expert(2) }, { ...measuring, method: MergeMethod.uniformSoup })
    const root = Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(1), from: left })
    const error = await Effect.runPromise(Effect.flip(simulate(root)))
    if (error._tag !== "KlBudgetExceeded") throw error
    assert.deepStrictEqual([error.stage, error.cap, error.keptStep], [label(merged), 1, 0])
    assert.include(error.kept, "the models that it merges")
  })

  it("is allotted along the heaviest of several ways, each counted once", () => {
    const reward = rewardModel(1)
    type AnyPolicy = Artifact.Artifact<"Policy" | "BaseModel", "world", never, number, Dimension, unknown>
    const rl = (init: AnyPolicy, mnats: number) =>
      Ppo.make({ init, reference: language, reward, value: reward, prompts, held }, {
        allowance: Kl.mnatsPerSequence<number>(mnats),
        beta: 0.1,
        steps: 1,
        batchSize: 2,
        learningRate: 1e-3,
        maxNewTokens: 3
      }) as Artifact.Any as AnyPolicy
    const shared = rl(language, 10)
    const [left, right] = [rl(shared, 3), rl(rl(shared, 2), 2)]
    const merged = Merge.make({ held }, { left, right }, { ...measuring, method: MergeMethod.uniformSoup })
    const after = rl(merged, 100)
    assert.deepStrictEqual(klSpenders(after, language).map(({ mnats }) => mnats), [100, 2, 2, 10])
    const told = problems(Pipeline.cap(after, {
      kl: Kl.mnatsPerSequence<number>(113),
      from: language
    }))
    assert.include(told.map(({ problem }) => problem).join("\n"), "KL over budget: 114 mnats allotted")
    // Nobody capped it: the merge and every stage that spends say so.
    const uncapped = problems(merged).map(({ problem, stage }) => `${stage} ${problem}`).join("\n")
    assert.include(uncapped, `${label(merged)} it merges policies that spent KL and nobody capped it`)
  })
})

describe("the best of several models", () => {
  it("is one of them, with the highest mean of the reward that verifiers give; enumeration says the same", async () => {
    const models = { some: expert(1), wild: expert(3, 0.1), more: expert(1, 5e-3) }
    const merged = Merge.make({ held, reward: Reward.verify(Verifier.keywords()) }, models, {
      ...measuring,
      method: MergeMethod.best("reward")
    })
    // So many prompts that the order of the sampled means is that of the expectations.
    const world = makeWorld({ prompts: 300, vocab: 3, horizon: 2, seed: "the best" })
    const root = Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(20_000), from: language })
    const { events, policies } = await Effect.runPromise(simulate(root, { world }))
    const [metrics] = events.flatMap((event) =>
      event._tag === "Step" && event.stage === label(merged) ? [event.metrics] : []
    )
    const names = Object.keys(models)
    const scores = names.map((name) => metrics![`soup/score_${name}`]!)
    assert.strictEqual(metrics!["soup/score"], Math.max(...scores))
    const has = names.filter((name) => metrics![`soup/has_${name}`] === 1)
    assert.deepStrictEqual(has, [names[scores.indexOf(Math.max(...scores))]!])
    const goldOf = (of: Artifact.Any) => policies.find(({ stage }) => stage === label(of))!.gold
    const golds = Object.values(models).map(goldOf)
    assert.strictEqual(goldOf(merged), Math.max(...golds))
    assert.strictEqual(new Set(golds).size, 3)
    // Of the initial model of the cap alone: a parent is not measured against itself.
    assert.deepStrictEqual(measured(events, merged).map(({ from }) => from), [label(language)])
  })

  it("of reward models by accuracy on held pairs", async () => {
    const preferences = Source.preferences(Source.tales({ split: "held", count: 64 }))
    const merged = Merge.make({ preferences }, { a: rewardModel(1), b: rewardModel(2) }, {
      method: MergeMethod.best("accuracy")
    })
    const { events } = await run(merged)
    const [metrics] = events.flatMap((event) =>
      event._tag === "Step" && event.stage === label(merged) ? [event.metrics] : []
    )
    assert.strictEqual(metrics!["soup/score"], Math.max(metrics!["soup/score_a"]!, metrics!["soup/score_b"]!))
    assert.strictEqual(metrics!["soup/has_a"]! + metrics!["soup/has_b"]!, 1)
  })
})

describe("a greedy soup", () => {
  it("of policies goes by proxy reward on held prompts, and scores no worse than its best ingredient", async () => {
    const models = { good: expert(1), also: expert(2), wild: expert(3, 0.1) }
    const merged = Merge.make({ held, reward: rewardModel(1) }, models, {
      ...measuring,
      method: MergeMethod.greedySoup("reward")
    })
    const { events } = await run(merged)
    const step = events.find((event) => event._tag === "Step" && event.stage === label(merged))
    if (step?._tag !== "Step") throw new Error("no step")
    const { metrics } = step
    const scores = Object.keys(models).map((name) => metrics[`soup/score_${name}`]!)
    assert.isAtLeast(metrics["soup/score"]!, Math.max(...scores))
    assert.isAtLeast(Object.keys(models).filter((name) => metrics[`soup/has_${name}`] === 1).length, 1)
  })

  it("of reward models goes by accuracy on held pairs", async () => {
    const preferences = Source.preferences(Source.tales({ split: "held", count: 64 }))
    const merged = Merge.make({ preferences }, { a: rewardModel(1), b: rewardModel(2) }, {
      method: MergeMethod.greedySoup("accuracy")
    })
    const { events } = await run(merged)
    const metrics = events.flatMap((event) =>
      event._tag === "Step" && event.stage === label(merged) ? [event.metrics] : []
    )
    assert.isAtLeast(metrics[0]!["soup/score"]!, Math.max(metrics[0]!["soup/score_a"]!, metrics[0]!["soup/score_b"]!))
    assert.isAbove(metrics[0]!["soup/score"]!, 0.5)
    assert.lengthOf(measured(events, merged), 0)
  })
})

describe("on the transformer", () => {
  const folder = folders("merge")
  const text = Source.text(Source.tales({ count: 12 }))
  const base = (dim: number) =>
    Pretrain.make({ text }, {
      family: "tales",
      model: { dim, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
      steps: 2,
      batchSize: 2,
      learningRate: 3e-3
    })
  const from = base(16)
  const tuned = (base: typeof from, seed: number) =>
    Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4, seed })) }, {
      batchSize: 2,
      learningRate: 1e-3
    })
  const few = { maxNewTokens: 4, measureSamples: 4 }
  const weightsIn = async (store: string, of: Artifact.Any) =>
    Effect.runPromise(Effect.provide(load(join(await folderIn(store, of), "model")), NodeFileSystem.layer))
  const events = ({ events }: Ran) => events

  it("a merge is what the formula says of the weights on disk, the same bytes every time, and no parent changes", async () => {
    const [a, b] = [tuned(from, 1), tuned(from, 2)]
    const merged = Merge.make({ base: from, held }, { a, b }, { ...few, method: MergeMethod.taskArithmetic(0.5) })
    const [one, two] = [folder(), folder()]
    const ran = succeeded(await runs(merged, one))
    succeeded(await runs(merged, two))
    assert.deepStrictEqual(contents(one), contents(two))
    const [x, y, z] = await Promise.all([merged, a, b].map(async (of) => flat((await weightsIn(one, of)).tensors)))
    x!.forEach((value, i) => assert.closeTo(value, (y![i]! + z![i]!) / 2, 1e-6))
    assert.isTrue(x!.some((value, i) => value !== y![i]))
    const all = measured(events(ran), merged)
    assert.sameMembers(all.map(({ from }) => from), [label(a), label(b)])
    assert.isTrue(all.every(({ cap, mean }) => cap === null && Number.isFinite(mean)))
  })

  it("weights by Bayes' rule are the posteriors of the models on disk, and prefer the model that learnt the domain", async () => {
    const document = (seed: number) => Source.text(Source.tales({ count: 3, seed }))
    const on = (seed: number) =>
      Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
        family: "tales",
        model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
        steps: 1 + 20 * seed,
        batchSize: 2,
        learningRate: 1e-2
      })
    const [learnt, not] = [on(1), on(0)]
    const merged = Merge.make({ held, text: document(3) }, { not, learnt }, {
      ...few,
      method: MergeMethod.posterior({ top: 1 })
    })
    const at = folder()
    const ran = succeeded(await runs(merged, at))
    const [step] = events(ran).flatMap((event) =>
      event._tag === "Step" && event.stage === label(merged) ? [event.metrics] : []
    )
    assert.deepStrictEqual(step, { "posterior/weight_not": 0, "posterior/weight_learnt": 1 })
    const [x, y] = await Promise.all([merged, learnt].map((of) => weightsIn(at, of)))
    assert.deepStrictEqual(flat(x!.tensors), flat(y!.tensors))
  })

  it("reward models keep their kind and their head", async () => {
    const prompts = Source.prompts(Source.tales({ count: 4 }))
    const preferences = Compare.make({ policy: from, prompts }, { gold: Gold.tales, maxNewTokens: 4 })
    const reward = (seed: number) =>
      RewardModeling.make({ init: from, preferences }, { batchSize: 2, learningRate: 1e-2, seed })
    const merged = Merge.make({}, { a: reward(1), b: reward(2) }, { method: MergeMethod.warm })
    const at = folder()
    succeeded(await runs(merged, at))
    assert.strictEqual(merged.node.kind, "RewardModel")
    const [x, y, z] = await Promise.all([merged, reward(1), reward(2)].map((of) => weightsIn(at, of)))
    const head = (of: Weights) => of.tensors.get("score.weight")!.data
    head(x!).forEach((value, i) => assert.closeTo(value, (head(y!)[i]! + head(z!)[i]!) / 2, 1e-7))
    assert.isTrue(head(y!).some((value, i) => value !== head(z!)[i]))
  })

  it("models of different networks are a typed error that names the tensor", async () => {
    const merged = Merge.make({ held }, { narrow: from, wide: base(32) }, { ...few, method: MergeMethod.uniformSoup })
    const error = failed(await runs(merged, folder()))
    if (error._tag !== "Unmergeable") throw error
    assert.strictEqual(error.tensor, "model.embed_tokens.weight")
    assert.deepStrictEqual(error.models, ["narrow", "wide"])
    assert.match(error.problem, /\[\d+,16\] and \[\d+,32\]/u)
    assert.isAbove(error.mismatches, 5)
  })
})
