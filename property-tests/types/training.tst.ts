/** The fields that every trained stage shares. */
import { describe, expect, test } from "tstyche"
import { Evaluate, Gold, Ppo, RewardModeling, Sft } from "../../dsl/index.ts"
import {
  allowance,
  base,
  demonstrations,
  held,
  params,
  ppoParams,
  preferences,
  prompts,
  reward,
  sft
} from "./recipe.ts"

describe("how a stage computes", () => {
  test("precision and recompute are fields of every trained stage, and may be left out", () => {
    expect(Sft.make).type.toBeCallableWith({ base, demonstrations }, params)
    expect(Sft.make).type.toBeCallableWith({ base, demonstrations }, { ...params, precision: "bf16" } as const)
    expect(RewardModeling.make).type.toBeCallableWith({ init: sft, preferences }, { ...params, recompute: true })
    expect(Ppo.make).type.toBeCallableWith(
      { init: sft, reference: sft, reward, value: reward, prompts, held },
      { ...ppoParams, allowance, precision: "f32", recompute: false } as const
    )
  })

  test("no other precision", () => {
    // @ts-expect-error Type '"fp16"' is not assignable to type '"f32" | "bf16"'
    Sft.make({ base, demonstrations }, { ...params, precision: "fp16" })
  })

  test("also of a stage that trains nothing", () => {
    Evaluate.make({ initial: sft, prompts }, { sft }, { gold: Gold.tales, maxNewTokens: 4, precision: "bf16" })
    // @ts-expect-error 'recompute' does not exist
    Evaluate.make({ initial: sft, prompts }, { sft }, { gold: Gold.tales, maxNewTokens: 4, recompute: true })
  })
})
