/** What the compiler says to a wrong use of a recipe. The texts are pinned. */
import { describe, expect, test } from "tstyche"
import { type Artifact, Checkpoint, Pipeline, Recipe, Sft, Source } from "../../dsl/index.ts"
import { ppo } from "./recipe.ts"

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
