/** What the compiler says to a wrong merge. The texts are pinned. */
import { describe, expect, test } from "tstyche"
import type { Artifact } from "../../dsl/index.ts"
import { Kl, Merge, MergeMethod, Pipeline, Source } from "../../dsl/index.ts"
import { again, base, held, llama, ppo, preferences, prompts, reward, sft } from "./recipe.ts"

const measured = { maxNewTokens: 4 }
const text = Source.text(Source.tales({ count: 4 }))
const { best, greedySoup, linear, posterior, slerp, ties, uniformSoup, warm } = MergeMethod

describe("wires", () => {
  test("a base is there when the method works on task vectors, and only then", () => {
    // @ts-expect-error required in type '{ readonly base: "Merge.base is missing: connect the model that task vectors are measured from, e.g. base: the model the experts started from"; }'
    Merge.make({ held }, { sft, ppo }, { ...measured, method: ties({ density: 0.2 }) })
    // @ts-expect-error '"Merge has no wire 'base'"'
    Merge.make({ held, base }, { sft, ppo }, { ...measured, method: uniformSoup })
    expect(Merge.make).type.toBeCallableWith({ held, base }, { sft, ppo }, {
      ...measured,
      method: ties({ density: 0.2 })
    })
    expect(Merge.make).type.toBeCallableWith({ held }, { sft, ppo }, { ...measured, method: uniformSoup })
  })

  test("policies are measured on held prompts, reward models are not", () => {
    expect(Merge.make).type.toBeCallableWith({}, { sft, ppo }, { method: uniformSoup })
    // @ts-expect-error Property 'maxNewTokens' is missing
    Merge.make({ held }, { sft, ppo }, { method: uniformSoup })
    // @ts-expect-error '"Merge has no wire 'held'"'
    Merge.make({ held }, { reward }, { method: warm })
    expect(Merge.make).type.toBeCallableWith({}, { reward }, { method: warm })
  })

  test("a greedy soup is judged by what its models can be judged by", () => {
    // @ts-expect-error required in type '{ readonly reward: "Merge.reward is missing: connect a RewardModel, or a Reward of verifiers, that judges the models"; }'
    Merge.make({ held }, { sft, ppo }, { ...measured, method: greedySoup("reward") })
    // @ts-expect-error '"a greedy soup of policies goes by the metric reward"'
    Merge.make({ held, reward }, { sft, ppo }, { ...measured, method: greedySoup("accuracy") })
    expect(Merge.make).type.toBeCallableWith({ preferences }, { reward }, { method: greedySoup("accuracy") })
    // @ts-expect-error '"the best of policies goes by the metric reward"'
    Merge.make({ held, reward }, { sft, ppo }, { ...measured, method: best("accuracy") })
    expect(Merge.make).type.toBeCallableWith({ held, reward }, { sft, ppo }, { ...measured, method: best("reward") })
  })

  test("models of one kind and one family", () => {
    // @ts-expect-error '"Merge.models.reward is a RewardModel among policies: merge models of one kind"'
    Merge.make({ held }, { sft, reward }, { ...measured, method: uniformSoup })
    // @ts-expect-error '"Merge.models.prompts needs a policy or a reward model to merge, not a Prompts"'
    Merge.make({ held }, { sft, prompts }, { ...measured, method: uniformSoup })
    Merge.make({ held }, {
      // @ts-expect-error '"Merge.models.sft is of family 'tales', another of 'llama': they must share a tokenizer"'
      sft,
      // @ts-expect-error '"Merge.models.llama is of family 'llama', another of 'tales': they must share a tokenizer"'
      llama
    }, { ...measured, method: uniformSoup })
  })

  test("weights by Bayes' rule are for documents", () => {
    Merge.make({ held, text }, { sft, ppo }, { ...measured, method: posterior({ top: 1 }) })
    // @ts-expect-error required in type '{ readonly text: "Merge.text is missing: connect documents whose domain the weights are for, e.g. Source.text(…)"; }'
    Merge.make({ held }, { sft, ppo }, { ...measured, method: posterior() })
    // @ts-expect-error '"Merge.text needs documents whose domain the weights are for, e.g. Source.text(…), not a Prompts"'
    Merge.make({ held, text: prompts }, { sft, ppo }, { ...measured, method: posterior() })
  })

  test("a weight for every model and no other", () => {
    // @ts-expect-error '"Merge.method has no weight for the model 'ppo'"'
    Merge.make({ held }, { sft, ppo }, { ...measured, method: linear({ sft: 1 }) })
    // @ts-expect-error '"Merge.method has a weight for 'rl', which is none of the models"'
    Merge.make({ held }, { sft, ppo }, { ...measured, method: slerp({ sft: 0.5, ppo: 0.5, rl: 0 }) })
  })
})

describe("what a type tells", () => {
  test("the kind is kept", () => {
    const rewards = Merge.make({}, { reward }, { method: warm })
    expect<Artifact.KindOf<typeof rewards>>().type.toBe<"RewardModel">()
    const policies = Merge.make({ held }, { base, sft }, { ...measured, method: uniformSoup })
    expect<Artifact.KindOf<typeof policies>>().type.toBe<"Policy">()
    expect<Artifact.FamilyOf<typeof policies>>().type.toBe<"tales">()
  })

  test("KL along several ways is a union, the cap holds each, and a merge of what was capped is open again", () => {
    const from = sft
    const [left, right] = [
      Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), from }),
      Pipeline.cap(again, { kl: Kl.mnatsPerSequence(9500), from })
    ]
    const merged = Merge.make({ held }, { left, right }, { ...measured, method: uniformSoup })
    expect<Artifact.AllottedOf<typeof merged>>().type.toBe<6000 | 9500>()
    // @ts-expect-error '"This pipeline spends KL and nobody capped it: wrap the policy in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"'
    Pipeline.runnable(merged)
    // @ts-expect-error '"KL over budget: 9500 mnats allotted, cap is 9499"'
    Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(9499), from })
    expect(Pipeline.runnable).type.toBeCallableWith(Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(9500), from }))
  })

  test("a merge of what never spent KL spends none", () => {
    expect(Pipeline.runnable).type.toBeCallableWith(
      Merge.make({ held }, { base, sft }, { ...measured, method: uniformSoup })
    )
  })
})
