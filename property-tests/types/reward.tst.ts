/** Rewards made of rewards: what has no tokenizer fits every family; a wrong part is an error at its place. */
import { describe, expect, test } from "tstyche"
import {
  type Artifact,
  Checkpoint,
  Evaluate,
  type Extension,
  Grpo,
  Kl,
  Pipeline,
  Ppo,
  Reward,
  RewardModeling,
  Sample,
  Score,
  Source,
  Verifier
} from "../../dsl/index.ts"

const base = Checkpoint.huggingFace("llama2", "models/base")
const foreign = Checkpoint.huggingFace("qwen", "models/other")
const prompts = Source.prompts(Source.file("p.jsonl"))
const held = Source.prompts(Source.file("h.jsonl"))
const preferences = Source.preferences(Source.file("q.jsonl"))
const fit = { batchSize: 1, learningRate: 1 }
const helpful = RewardModeling.make({ init: base, preferences }, fit)
const safety = RewardModeling.make({ init: base, preferences }, { ...fit, seed: 1 })
const other = RewardModeling.make({ init: foreign, preferences }, fit)
const rule = Reward.sum({ accuracy: Reward.verify(Verifier.mathematics()), own: Reward.verify(Verifier.own("Mine")) })
const rl = { ...fit, beta: 0, steps: 1, groupSize: 2, maxNewTokens: 4, allowance: Kl.mnatsPerSequence(1) } as const

describe("the type of a reward", () => {
  test("has the family of its models, or none that fits any, and the needs of its parts", () => {
    expect<Artifact.FamilyOf<typeof rule>>().type.toBe<never>()
    expect<Artifact.OutsideOf<typeof rule>>().type.toBe<Extension.Verifier<"Mine">>()
    const llama2 = Reward.whiten(Reward.logit(Reward.sigmoid(Reward.gate({
      when: Reward.either(Reward.kindIs("safety"), Reward.below(safety, 0.15)),
      then: safety,
      otherwise: helpful
    }))))
    expect<Artifact.KindOf<typeof llama2>>().type.toBe<"Reward">()
    expect<Artifact.FamilyOf<typeof llama2>>().type.toBe<"llama2">()
    const r1 = Reward.sum({
      task: Reward.byKind({
        reasoning: rule,
        helpfulness: Reward.from(1_300, Reward.of(helpful, { reads: { after: "</think>" } }))
      }),
      language: Reward.verify(Verifier.languageConsistency("en"))
    }, { language: 0.1 })
    expect<Artifact.FamilyOf<typeof r1>>().type.toBe<"llama2">()
    const policy = Grpo.make({ init: base, reward: r1, prompts, held }, rl)
    expect<Artifact.OutsideOf<typeof policy>>().type.toBe<Extension.Verifier<"Mine">>()
    expect(Ppo.make).type.toBeCallableWith({ init: base, value: base, reward: llama2, prompts, held }, {
      ...fit,
      beta: 0,
      steps: 1,
      maxNewTokens: 4,
      allowance: Kl.mnatsPerSequence(1)
    })
    const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 2, maxNewTokens: 4 })
    expect(Score.byReward).type.toBeCallableWith({ completions, reward: rule })
    expect(Evaluate.make).type.toBeCallableWith({ initial: base, prompts: held, reward: llama2 }, { base }, {
      maxNewTokens: 4
    })
  })

  test("keeps open inputs", () => {
    const open = Reward.sum({ a: rule, b: Pipeline.input("model", "RewardModel", "llama2") })
    expect<Artifact.OpenOf<typeof open>>().type.toBe<"model: RewardModel">()
  })
})

describe("a wrong part", () => {
  test("a policy in a reward's place", () => {
    // @ts-expect-error "Reward.parts.b needs a reward: RewardModeling.make(…), Reward.verify(…) or another Reward, not a BaseModel"
    Reward.sum({ a: rule, b: base })
    // @ts-expect-error "Reward.of needs a reward: RewardModeling.make(…), Reward.verify(…) or another Reward, not a BaseModel"
    Reward.whiten(base)
    // @ts-expect-error "Reward.of needs a RewardModel: train one with RewardModeling.make(…), not a Reward"
    Reward.of(rule, { reads: { after: "</think>" } })
    // @ts-expect-error not a BaseModel"
    Reward.gate({ when: Reward.kindIs("x"), then: base, otherwise: rule })
    // @ts-expect-error not a BaseModel"
    Reward.below(base, 0.5)
  })

  test("models of two families", () => {
    Reward.sum({
      // @ts-expect-error "Reward.parts.a is of family 'llama2', another of 'qwen': they must share a tokenizer"
      a: helpful,
      // @ts-expect-error "Reward.parts.b is of family 'qwen', another of 'llama2': they must share a tokenizer"
      b: other
    })
    // @ts-expect-error "Reward.parts.otherwise is of family 'qwen', another of 'llama2': they must share a tokenizer"
    Reward.gate({ when: Reward.below(safety, 0.15), then: rule, otherwise: other })
    // @ts-expect-error "Grpo.reward is of family 'qwen' but Grpo works on 'llama2': they must share a tokenizer"
    Grpo.make({ init: base, reward: Reward.clip(other, { min: 0, max: 1 }), prompts, held }, rl)
  })

  test("a weight of no part", () => {
    // @ts-expect-error 'c' does not exist in type
    Reward.sum({ a: rule, b: helpful }, { c: 1 })
  })

  test("a reward where weights are wanted", () => {
    // @ts-expect-error not a Reward"
    RewardModeling.make({ init: rule, preferences }, fit)
  })
})

describe("verifiers of one's own", () => {
  const own = Verifier.own("Mine", { most: 3 })
  test("are in the type of all that uses them", () => {
    const grpo = Grpo.make({ init: base, prompts, held }, { ...rl, verifiers: [own, Verifier.lastNumber()] })
    expect<Artifact.OutsideOf<typeof grpo>>().type.toBe<Extension.Verifier<"Mine">>()
    const report = Evaluate.make({ initial: base, prompts: held }, { base }, { verifiers: [own], maxNewTokens: 4 })
    expect<Artifact.OutsideOf<typeof report>>().type.toBe<Extension.Verifier<"Mine">>()
    const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 2, maxNewTokens: 4 })
    const scored = Score.byVerifier({ completions }, { verifiers: [own] })
    expect<Artifact.OutsideOf<typeof scored>>().type.toBe<Extension.Verifier<"Mine">>()
  })
})
