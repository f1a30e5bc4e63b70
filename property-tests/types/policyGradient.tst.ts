/** Group-relative stages: their wires, the reference that goes with β, and losses that cannot be written. */
import { describe, expect, test } from "tstyche"
import { Advantage, Grpo, PolicyGradient, PolicyLoss, Ppo, Verifier } from "../../dsl/index.ts"
import { allowance, held, ppoParams, prompts, reward, sft } from "./recipe.ts"

const rl = { ...ppoParams, allowance, groupSize: 4 }
const ppo = { ...ppoParams, allowance }

describe("wires", () => {
  test("a reward model, verifiers, or both", () => {
    expect(Grpo.make).type.toBeCallableWith({ init: sft, reference: sft, reward, prompts, held }, rl)
    expect(Grpo.make).type.toBeCallableWith(
      { init: sft, reference: sft, prompts, held },
      { ...rl, verifiers: [Verifier.lastNumber()] }
    )
  })

  test("no value model, and no policy for a reward", () => {
    // @ts-expect-error Property '"Grpo has no wire 'value'"'
    Grpo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, rl)
    // @ts-expect-error Property '"Grpo.reward needs a RewardModel: train one with RewardModeling.make(…), not a Policy"'
    Grpo.make({ init: sft, reference: sft, reward: sft, prompts, held }, rl)
  })
})

describe("invariant 23: a reference if and only if β > 0", () => {
  test("needed with a penalty, or when the compiler cannot know", () => {
    // @ts-expect-error required in type '{ readonly reference: "Grpo.reference is missing: connect the policy that the KL penalty is measured against, e.g. reference: sft"; }'
    Grpo.make({ init: sft, reward, prompts, held }, { ...rl, beta: 0.1 })
    // @ts-expect-error required in type '{ readonly reference: "Grpo.reference is missing: connect the policy that the KL penalty is measured against, e.g. reference: sft"; }'
    Grpo.make({ init: sft, reward, prompts, held }, rl)
  })

  test("refused without one", () => {
    expect(Grpo.make).type.toBeCallableWith({ init: sft, reward, prompts, held }, { ...rl, beta: 0 } as const)
    expect(Ppo.make).type.toBeCallableWith(
      { init: sft, reward, value: reward, prompts, held },
      { ...ppo, beta: 0 } as const
    )
    // @ts-expect-error Property '"Grpo.reference needs no policy with beta 0 (leave it out), not a Policy"'
    Grpo.make({ init: sft, reference: sft, reward, prompts, held }, { ...rl, beta: 0 })
    // @ts-expect-error Property '"Ppo.reference needs no policy with beta 0 (leave it out), not a Policy"'
    Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, { ...ppo, beta: 0 })
  })
})

describe("losses with a wrong gradient", () => {
  test("k1 is no loss, and the reward takes nothing but k1", () => {
    // @ts-expect-error Type '"k1"' is not assignable to type '"k2" | "k3" | "k3-corrected"'
    void new PolicyLoss.KlInLoss({ estimator: "k1" })
    // @ts-expect-error 'estimator' does not exist in type
    void new PolicyLoss.KlInReward({ estimator: "k3" })
  })

  test("a clip is of a ratio", () => {
    // @ts-expect-error 'clip' does not exist in type
    void new PolicyLoss.Likelihood({ clip: PolicyLoss.symmetric(0.2) })
    // @ts-expect-error Property 'level' is missing in type
    void new PolicyLoss.Ratio({ clip: PolicyLoss.symmetric(0.2) })
  })

  test("GAE needs a value model", () => {
    // @ts-expect-error is not assignable to type
    Grpo.make({ init: sft, reference: sft, reward, prompts, held }, { ...rl, advantage: new Advantage.Gae({}) })
    // @ts-expect-error is not assignable to type
    Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, { ...ppo, ...PolicyGradient.grpo })
  })
})
