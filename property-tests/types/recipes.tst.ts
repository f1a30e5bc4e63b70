/** What the compiler says to a wrong use of a recipe. The texts are pinned. */
import { describe, expect, test } from "tstyche"
import {
  type Artifact,
  BranchTrainMerge,
  Checkpoint,
  CommandA,
  DeepSeekR1,
  HhRlhf,
  InstructGpt,
  Llama2Chat,
  Llama31,
  MiMo,
  Olmo2,
  Pipeline,
  Qwen3,
  Recipe,
  SeedThinking,
  Sft,
  SmolLm3,
  SmolTulu,
  Source,
  Tulu3,
  Warp,
  Zephyr
} from "../../dsl/index.ts"
import { ppo, reward } from "./recipe.ts"

const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const prompts = Source.prompts(Source.tales({ count: 8 }))
const base = Checkpoint.described("gpt3", { layers: 2, dim: 8, heads: 2, ffn: 16, vocab: 9, context: 16 })

const twice = Recipe.make({
  name: "twice",
  title: "SFT for two epochs",
  paper: "none",
  takes: { base: ["BaseModel", "gpt3"], demonstrations: "Demonstrations" },
  open: {
    learningRate: Recipe.notReported(1e-5, "usual"),
    schedule: Recipe.notReported<"linear" | "cosine">("cosine", "either")
  },
  published: () => ({ base, demonstrations }),
  make: (given, open) => ({ sft: Sft.make(given, { epochs: 2, batchSize: 8, ...open }) })
})

const inputs = { base, demonstrations }

describe("a recipe", () => {
  test("gives artefacts by their names, of the family that it takes", () => {
    const { sft } = twice.make(inputs, { learningRate: 2, schedule: "linear" })
    expect<Artifact.KindOf<typeof sft>>().type.toBe<"Policy">()
    expect<Artifact.FamilyOf<typeof sft>>().type.toBe<"gpt3">()
    expect(Recipe.planned(twice).sft).type.toBe<typeof sft>()
  })

  test("asks for an open choice by its name", () => {
    // @ts-expect-error Property 'learningRate' is missing in type
    twice.make(inputs, { schedule: "linear" })
    // @ts-expect-error Type '"constant"' is not assignable to type '"linear" | "cosine"'
    twice.make(inputs, { learningRate: 1, schedule: "constant" })
  })

  test("asks for an input by its name, of its kind and family", () => {
    const open = { learningRate: 1, schedule: "linear" } as const
    // @ts-expect-error Property 'base' is missing in type
    twice.make({ demonstrations }, open)
    // @ts-expect-error Type '"Prompts"' is not assignable to type '"Demonstrations"'
    twice.make({ base, demonstrations: prompts }, open)
    // @ts-expect-error Type '"llama"' is not assignable to type '"gpt3"'
    twice.make({ base: Checkpoint.huggingFace("llama", "m"), demonstrations }, open)
  })
})

describe("an input of each recipe", () => {
  const other = Checkpoint.huggingFace("other", "m")

  test("of the wrong kind, or of the wrong family", () => {
    const r0 = InstructGpt.instructGpt
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r0.make({ ...r0.published(), gpt3: reward }, Recipe.standIns(r0))
    // @ts-expect-error Type '"other"' is not assignable to type '"gpt3"'
    r0.make({ ...r0.published(), gpt3: other }, Recipe.standIns(r0))
    const r1 = HhRlhf.hhRlhf
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r1.make({ ...r1.published(), base: reward }, Recipe.standIns(r1))
    // @ts-expect-error Type '"other"' is not assignable to type '"anthropic"'
    r1.make({ ...r1.published(), base: other }, Recipe.standIns(r1))
    const r2 = Llama2Chat.llama2Chat
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r2.make({ ...r2.published(), large: reward }, Recipe.standIns(r2))
    // @ts-expect-error Type '"other"' is not assignable to type '"llama2"'
    r2.make({ ...r2.published(), large: other }, Recipe.standIns(r2))
    const r3 = Llama31.llama31
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r3.make({ ...r3.published(), base: reward }, Recipe.standIns(r3))
    // @ts-expect-error Type '"other"' is not assignable to type '"llama3"'
    r3.make({ ...r3.published(), base: other }, Recipe.standIns(r3))
    const r4 = Zephyr.zephyr
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r4.make({ ...r4.published(), base: reward }, Recipe.standIns(r4))
    // @ts-expect-error Type '"other"' is not assignable to type '"mistral"'
    r4.make({ ...r4.published(), base: other }, Recipe.standIns(r4))
    const r5 = Tulu3.tulu3Of8b
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r5.make({ ...r5.published(), small: reward }, Recipe.standIns(r5))
    // @ts-expect-error Type '"other"' is not assignable to type '"llama3"'
    r5.make({ ...r5.published(), small: other }, Recipe.standIns(r5))
    const r6 = Tulu3.tulu3Of405b
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r6.make({ ...r6.published(), base: reward }, Recipe.standIns(r6))
    // @ts-expect-error Type '"other"' is not assignable to type '"llama3"'
    r6.make({ ...r6.published(), base: other }, Recipe.standIns(r6))
    const r7 = Tulu3.tulu31
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r7.make({ ...r7.published(), base: reward }, Recipe.standIns(r7))
    // @ts-expect-error Type '"other"' is not assignable to type '"llama3"'
    r7.make({ ...r7.published(), base: other }, Recipe.standIns(r7))
    const r8 = Olmo2.olmo2Of1b
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r8.make({ ...r8.published(), base: reward }, Recipe.standIns(r8))
    // @ts-expect-error Type '"other"' is not assignable to type '"olmo2"'
    r8.make({ ...r8.published(), base: other }, Recipe.standIns(r8))
    const r9 = Olmo2.olmo2Of13b
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r9.make({ ...r9.published(), base: reward }, Recipe.standIns(r9))
    // @ts-expect-error Type '"other"' is not assignable to type '"olmo2"'
    r9.make({ ...r9.published(), base: other }, Recipe.standIns(r9))
    const r10 = Olmo2.olmo2Of32b
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r10.make({ ...r10.published(), base: reward }, Recipe.standIns(r10))
    // @ts-expect-error Type '"other"' is not assignable to type '"olmo2"'
    r10.make({ ...r10.published(), base: other }, Recipe.standIns(r10))
    const r11 = SmolTulu.smolTulu1130
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r11.make({ ...r11.published(), base: reward }, Recipe.standIns(r11))
    // @ts-expect-error Type '"other"' is not assignable to type '"smollm2"'
    r11.make({ ...r11.published(), base: other }, Recipe.standIns(r11))
    const r12 = SmolLm3.smolLm3
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r12.make({ ...r12.published(), base: reward }, Recipe.standIns(r12))
    // @ts-expect-error Type '"other"' is not assignable to type '"smollm3"'
    r12.make({ ...r12.published(), base: other }, Recipe.standIns(r12))
    const r13 = DeepSeekR1.deepSeekR1
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r13.make({ ...r13.published(), qwen: reward }, Recipe.standIns(r13))
    // @ts-expect-error Type '"other"' is not assignable to type '"qwen2.5"'
    r13.make({ ...r13.published(), qwen: other }, Recipe.standIns(r13))
    const r14 = Qwen3.qwen3
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r14.make({ ...r14.published(), judge: reward }, Recipe.standIns(r14))
    // @ts-expect-error Type '"other"' is not assignable to type '"qwen2.5"'
    r14.make({ ...r14.published(), judge: other }, Recipe.standIns(r14))
    const r15 = MiMo.mimo
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r15.make({ ...r15.published(), base: reward }, Recipe.standIns(r15))
    // @ts-expect-error Type '"other"' is not assignable to type '"mimo"'
    r15.make({ ...r15.published(), base: other }, Recipe.standIns(r15))
    const r16 = SeedThinking.seedThinking
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r16.make({ ...r16.published(), verifier: reward }, Recipe.standIns(r16))
    // @ts-expect-error Type '"other"' is not assignable to type '"seed"'
    r16.make({ ...r16.published(), verifier: other }, Recipe.standIns(r16))
    const r17 = CommandA.commandA
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r17.make({ ...r17.published(), base: reward }, Recipe.standIns(r17))
    // @ts-expect-error Type '"other"' is not assignable to type '"command"'
    r17.make({ ...r17.published(), base: other }, Recipe.standIns(r17))
    const r18 = BranchTrainMerge.branchTrainMerge
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r18.make({ ...r18.published(), seed: reward }, Recipe.standIns(r18))
    // @ts-expect-error Type '"other"' is not assignable to type '"btm"'
    r18.make({ ...r18.published(), seed: other }, Recipe.standIns(r18))
    const r19 = Warp.warp
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    r19.make({ ...r19.published(), sft: reward }, Recipe.standIns(r19))
    // @ts-expect-error Type '"other"' is not assignable to type '"gemma"'
    r19.make({ ...r19.published(), sft: other }, Recipe.standIns(r19))
  })
})

describe("outputs", () => {
  test("wait for what each of them waits for", () => {
    const capless = Pipeline.outputs({ ppo, base })
    expect<Artifact.UncappedOf<typeof capless>>().type.toBe<Artifact.UncappedOf<typeof ppo>>()
    expect(Pipeline.runnable).type.not.toBeCallableWith(capless)
    expect(Pipeline.runnable).type.toBeCallableWith(Pipeline.outputs({ base }))
    expect(Pipeline.runnable).type.not.toBeCallableWith(
      Pipeline.outputs({ base, waiting: Pipeline.input("prompts", "Prompts") })
    )
  })
})
