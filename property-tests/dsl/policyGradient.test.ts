import { Result, Schema } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import {
  Checkpoint,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  Ppo,
  RewardModeling,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type * as Artifact from "../../dsl/Artifact.ts"
import { problems } from "../../src/interpreters/check.ts"
import { groupAdvantages, policyLosses } from "../../src/testing/policyLosses.ts"

const init = Checkpoint.huggingFace("tiny", "models/tiny")
const prompts = Source.prompts(Source.tales({ count: 4 }))
const held = Source.prompts(Source.tales({ count: 4, split: "held" }))
const reward = RewardModeling.make({ init, preferences: Source.preferences(Source.file("pairs.jsonl")) }, {
  batchSize: 2,
  learningRate: 1e-3
})
const params = {
  allowance: Kl.mnatsPerSequence(1000),
  steps: 3,
  batchSize: 4,
  groupSize: 4,
  learningRate: 1e-3,
  maxNewTokens: 4,
  beta: 0.1
} as const
type More = Partial<Parameters<typeof Grpo.make>[1]>
const grpo = (more: More = {}) => Grpo.make({ init, reference: init, reward, prompts, held }, { ...params, ...more })
const capped = (of: Artifact.Any) =>
  Pipeline.cap(of as never, { kl: Kl.mnatsPerSequence(1000), from: init }) as Artifact.Any
const mistakes = (of: Artifact.Any): ReadonlyArray<string> => problems(capped(of)).map(({ problem }) => problem)
const { ppo: _1, ppoPtx: _2, ...critics } = PolicyGradient

describe("names", () => {
  it("are nothing but their data: spelled out, a name is the same description", () => {
    const spelled = {
      advantage: { _tag: "GroupStd", ddof: 1, epsilon: 1e-4 },
      loss: {
        _tag: "PolicyLoss",
        objective: { _tag: "Ratio", level: "token", clip: { _tag: "Clipped", low: 0.2, high: 0.28 } },
        aggregation: { _tag: "TokenMean" },
        kl: { _tag: "KlInLoss", estimator: "k3" },
        entropyCoef: 0
      },
      dynamicSampling: { maxBatches: 10 },
      overlong: { share: 0.2 }
    }
    assert.strictEqual(grpo(spelled as never).id, grpo(PolicyGradient.dapo).id)
    assert.strictEqual(grpo().id, grpo(PolicyGradient.grpo).id)
  })

  it("differ from one another, are accepted, and survive JSON", () => {
    const ids = Object.values(critics).map((name) => {
      const root = grpo(name)
      assert.deepStrictEqual(mistakes(root), [])
      const again = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root)))
      assert.deepStrictEqual(Pipeline.stageOf(again), Pipeline.stageOf(root))
      return again.id
    })
    assert.isAtLeast(ids.length, 12)
    assert.strictEqual(new Set(ids).size, ids.length)
  })

  it("any point of the space is accepted and survives JSON", () => {
    fc.assert(fc.property(policyLosses, groupAdvantages, (loss, advantage) => {
      const root = grpo({ loss, advantage })
      assert.deepStrictEqual(mistakes(root), [])
      assert.deepStrictEqual(
        Pipeline.stageOf(Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root)))),
        Pipeline.stageOf(root)
      )
    }))
  })
})

describe("what has a wrong gradient cannot be written", () => {
  const decode = Schema.decodeUnknownResult(PolicyLoss.PolicyLoss, { onExcessProperty: "error" })
  const base = JSON.parse(JSON.stringify(PolicyGradient.grpo.loss)) as object
  const refused = (change: object) => Result.isFailure(decode({ ...base, ...change }))

  it("in JSON: k1 as a loss, k3 or k2 in the reward, a clip without a ratio, a ratio without a level", () => {
    assert.isFalse(refused({}))
    assert.isTrue(refused({ kl: { _tag: "KlInLoss", estimator: "k1" } }))
    assert.isTrue(refused({ kl: { _tag: "KlInLoss" } }))
    for (const estimator of ["k1", "k2", "k3"]) assert.isTrue(refused({ kl: { _tag: "KlInReward", estimator } }))
    assert.isTrue(refused({ objective: { _tag: "Likelihood", clip: { _tag: "Unclipped" } } }))
    assert.isTrue(refused({ objective: { _tag: "Ratio", clip: { _tag: "Unclipped" } } }))
    assert.isTrue(refused({ objective: { _tag: "GammaWeighted", kPositive: -1 } }))
  })

  it("and `check` says it of a whole pipeline", () => {
    const set = Pipeline.set(capped(grpo()), "grpo.loss.kl.estimator", "k1")
    const found = problems(Result.getOrThrow(set)).map(({ problem }) => problem)
    assert.lengthOf(found, 1)
    assert.match(found[0]!, /k2.*k3/u)
  })
})

describe("what else can be wrong", () => {
  const with_ = (beta: number, reference: boolean) =>
    Grpo.make(
      { init, ...(reference ? { reference: init } : {}), reward, prompts, held } as never,
      { ...params, beta } as never
    )

  it("invariant 23: a reference if and only if β > 0", () => {
    assert.deepStrictEqual(mistakes(with_(0.1, true)), [])
    assert.deepStrictEqual(mistakes(with_(0, false)), [])
    assert.match(mistakes(with_(0.1, false))[0]!, /^Grpo\.reference is missing: connect the policy/u)
    assert.match(mistakes(with_(0, true))[0]!, /^beta is 0, so Grpo\.reference has no use/u)
  })

  it("no reward at all; nothing to compare; a dual clip inside the clip; groups that do not divide", () => {
    const none = Grpo.make({ init, reference: init, prompts, held }, params)
    assert.match(mistakes(none).join(), /no reward.*Verifier/u)
    assert.deepStrictEqual(
      mistakes(Grpo.make({ init, reference: init, prompts, held }, { ...params, verifiers: [Verifier.lastNumber()] })),
      []
    )
    assert.match(mistakes(grpo({ groupSize: 1 })).join(), /groupSize 1 leaves GroupStd nothing/u)
    assert.deepStrictEqual(mistakes(grpo({ ...PolicyGradient.reinforce, groupSize: 1 })), [])
    const clip = new PolicyLoss.DualClipped({ low: 0.2, high: 0.9, bound: 1.5 })
    const loss = new PolicyLoss.PolicyLoss({
      ...PolicyGradient.grpo.loss,
      objective: new PolicyLoss.Ratio({ level: "token", clip })
    })
    assert.match(mistakes(grpo({ loss })).join(), /must be above 1 \+ high/u)
    assert.match(mistakes(grpo({ numMiniBatches: 3 })).join(), /does not divide into 3/u)
  })

  it("PPO: no Contrastive; pretraining text if and only if there is a ptxCoef", () => {
    const text = Source.text(Source.tales({ count: 4 }))
    const { groupSize: _, ...own } = params
    const ppo = (more: object, wires: object = {}) =>
      mistakes(
        Ppo.make(
          { init, reference: init, reward, value: reward, prompts, held, ...wires },
          { ...own, ...more } as never
        )
      ).join()
    assert.strictEqual(ppo(PolicyGradient.ppo), "")
    assert.strictEqual(ppo(PolicyGradient.ppoPtx, { pretraining: text }), "")
    assert.match(ppo(PolicyGradient.ppoPtx), /Ppo\.pretraining is missing/u)
    assert.match(ppo({}, { pretraining: text }), /ptxCoef is 0/u)
    assert.match(ppo({ loss: PolicyGradient.copg.loss }), /Contrastive compares a group: use Grpo/u)
  })
})
