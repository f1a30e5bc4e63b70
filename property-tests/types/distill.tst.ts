/** Distillation, reward models of every kind, and ensembles: what the compiler lets through and what it says. */
import { describe, expect, test } from "tstyche"
import {
  Distill,
  Distillation,
  Ensemble,
  OnPolicyDistill,
  RewardLoss,
  RewardModeling,
  Source
} from "../../dsl/index.ts"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  allowance,
  base,
  demonstrations,
  held,
  llamaReward,
  params,
  preferences,
  prompts,
  reward,
  sft
} from "./recipe.ts"

const off = { ...params, objective: Distillation.wordLevel }
const on = { ...params, objective: Distillation.reverseKl(), steps: 1, maxNewTokens: 4, allowance }
const rankings = Source.rankings(Source.tales({ count: 4 }))

describe("distillation", () => {
  test("has one source of answers", () => {
    expect(Distill.make).type.toBeCallableWith({ student: base, teacher: sft, prompts }, { ...off, maxNewTokens: 4 })
    expect(Distill.make).type.toBeCallableWith({ student: base, teacher: sft, demonstrations }, off)
    // @ts-expect-error "Distill has nothing to learn from: connect prompts, for the teacher to answer, or demonstrations"
    Distill.make({ student: base, teacher: sft }, off)
    // @ts-expect-error "Distill has prompts and demonstrations: connect one of them"
    Distill.make({ student: base, teacher: sft, prompts, demonstrations }, off)
    // @ts-expect-error "Distill.teacher needs the model to learn from, of any size, not a RewardModel"
    Distill.make({ student: base, teacher: reward, demonstrations }, off)
  })

  test("spends KL on-policy alone", () => {
    const offline = Distill.make({ student: base, teacher: sft, demonstrations }, off)
    const online = OnPolicyDistill.make({ student: base, teacher: sft, prompts, held }, on)
    expect<Artifact.UncappedOf<typeof offline>>().type.not.toBeAssignableFrom<"kl">()
    expect<Artifact.UncappedOf<typeof online>>().type.toBeAssignableFrom<"kl">()
    expect<Artifact.AllottedOf<typeof online>>().type.toBe<6000>()
  })
})

describe("reward models", () => {
  test("learn by a loss of their data", () => {
    expect(RewardModeling.make).type.toBeCallableWith({ init: base, preferences }, params)
    expect(RewardModeling.make).type.toBeCallableWith(
      { init: base, preferences: rankings },
      { ...params, loss: RewardLoss.plackettLuce }
    )
    // @ts-expect-error is not assignable to parameter of type
    RewardModeling.make({ init: base, preferences: rankings }, params)
    // @ts-expect-error is not assignable to type
    RewardModeling.make({ init: base, preferences: rankings }, { ...params, loss: RewardLoss.outcome })
    // @ts-expect-error is not assignable to type
    RewardModeling.make({ init: base, preferences }, { ...params, loss: RewardLoss.kWise() })
  })

  test("of one family make an ensemble", () => {
    expect(Ensemble.make).type.toBeCallableWith([reward, reward], { rule: Ensemble.worstCase })
    // @ts-expect-error "Ensemble.members needs reward models, not a Policy"
    Ensemble.make([reward, sft], { rule: Ensemble.mean })
    // @ts-expect-error "Ensemble.members is of family 'llama' but the first is of 'tales'"
    Ensemble.make([reward, llamaReward], { rule: Ensemble.mean })
  })
})
