/** Recipes: their open choices, their named outputs, and models of which only the shape is known. */
import * as Result from "effect/Result"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Artifact, Checkpoint, Pipeline, Recipe, Render, Sft, Source } from "../../dsl/index.ts"
import { outputsOf } from "../../dsl/Stage.ts"
import { check, problems } from "../../src/interpreters/check.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

const shape = { layers: 2, dim: 8, heads: 2, ffn: 16, vocab: 9, context: 16 }
const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const recipe = Recipe.make({
  name: "twice",
  title: "SFT for two epochs",
  paper: "none",
  takes: { base: ["BaseModel", "gpt3"], demonstrations: "Demonstrations" },
  open: { learningRate: Recipe.notReported(1e-5, "usual at this size"), seed: Recipe.notReported(3, "any") },
  published: () => ({ base: Checkpoint.described("gpt3", shape), demonstrations }),
  make: (given, open) => ({
    sft: Sft.make(given, { epochs: 2, batchSize: 8, ...open }),
    again: Sft.make({ ...given, base: Checkpoint.huggingFace("gpt3", "m") }, { batchSize: 8, ...open })
  })
})

describe("open choices", () => {
  it("are all named with their hints and stand-ins, where the compiler did not see that they are missing", () => {
    const thrown = (given: object, open: object): unknown => {
      try {
        return recipe.make(given as never, open as never)
      } catch (error) {
        return error
      }
    }
    const error = thrown({ demonstrations }, { seed: 0 })
    assert(error instanceof Recipe.OpenChoices)
    assert.deepEqual(error.inputs, [
      { name: "base", kind: "BaseModel", published: "gpt3, a shape alone (2 layers of 8)" }
    ])
    assert.deepEqual(error.choices, [{ name: "learningRate", hint: "usual at this size", standIn: "1e-5" }])
    assert.include(error.message, "--choose learningRate=1e-5")
    const both = thrown({}, {})
    assert(both instanceof Recipe.OpenChoices)
    assert.lengthOf([...both.inputs, ...both.choices], 4)
  })

  it("have their stand-ins in a plan, unless they are chosen", () => {
    const { sft } = Recipe.planned(recipe)
    const chosen = Recipe.planned(recipe, { learningRate: 2 })
    assert.include(sft.node.params as object, { learningRate: 1e-5, seed: 3 })
    assert.include(chosen.sft.node.params as object, { learningRate: 2, seed: 3 })
  })
})

describe("named outputs", () => {
  it("name artefacts that stay what they are, and are read back", () => {
    fc.assert(fc.property(pipelines(), pipelines(), ({ root: a }, { root: b }) => {
      const root = Pipeline.outputs({ a, b })
      assert.deepEqual(outputsOf(root), { a, b })
      const back = Pipeline.fromJson(Pipeline.toJson(root))
      // Operations from outside Keel have no definitions here.
      if (Result.isSuccess(back)) assert.strictEqual(back.success.id, root.id)
      const own = new Set([a, b].flatMap((one) => problems(one)).map(({ problem, stage }) => `${stage} ${problem}`))
      const together = problems(root).filter(({ problem, stage }) => !own.has(`${stage} ${problem}`))
      assert.isEmpty(together)
    }))
  })

  it("stand below a cap, which is on all of them", () => {
    const { sft } = Recipe.planned(recipe)
    assert.deepEqual(outputsOf(Pipeline.cap(Pipeline.outputs({ sft }), { seconds: { seconds: 2 } as never })), { sft })
    assert.deepEqual(outputsOf(sft), {})
  })

  it("are refused without a name, and as outputs of outputs", () => {
    const { sft } = Recipe.planned(recipe)
    const said = (named: Readonly<Record<string, Artifact.Any>>) =>
      problems(Pipeline.outputs(named)).map(({ problem }) => problem).join()
    assert.include(said({}), "name at least one")
    assert.include(said({ "two words": sft }), "is no name of an output")
    assert.include(said({ inner: Pipeline.outputs({ sft }) }), "needs an artefact, not a Outputs")
  })
})

describe("a model of which only the shape is known", () => {
  it("passes check", () => {
    assert(Result.isSuccess(check(Recipe.planned(recipe).sft)))
    assert.include(Render.text(Recipe.planned(recipe).sft), "BaseModel of gpt3")
  })

  it("has a shape that can be, and no weights", () => {
    const said = (params: object) =>
      problems(Artifact.make({ ...Checkpoint.described("f", shape).node, params: { family: "f", ...params } as never }))
        .map(({ problem }) => problem).join()
    assert.include(said({}), "write one of the two")
    assert.include(said({ path: "m", shape }), "write one of the two")
    assert.include(said({ shape, adapter: "a" }), "leave them out")
    assert.include(said({ shape: { ...shape, dim: 9 } }), "write headDim")
    assert.include(said({ shape: { ...shape, kvHeads: 3 } }), "is not a multiple of shape.kvHeads 3")
    assert.include(said({ shape: { ...shape, experts: { count: 2, active: 3, ffn: 4 } } }), "3 of 2 experts")
    assert.isEmpty(said({ shape: { ...shape, dim: 9, headDim: 4 } }))
  })
})
