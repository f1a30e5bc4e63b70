/** Asking with a context, which the rows of the result do not keep: on the transformer, in a simulation, and what `check` refuses. */
import { Effect, Exit } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Ask, Distill, Distillation, Sample, Sft, Source } from "../../dsl/index.ts"
import type { CompletionRow, PromptRow } from "../../src/data/rows.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import type { Engine } from "../../src/engine/engine.ts"
import type { Made } from "../../src/store/made.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { engine, runs, succeeded, tiny } from "./tiny.ts"

const { base } = tiny({ context: 256 })
const texts = ["Tell me a story about a cat .", "Tell me a story about a dog ."]
const prompts = Source.prompts(Source.rows(texts.map((prompt) => ({ prompt, answer: prompt }))))
const greedy = { completionsPerPrompt: 1, temperature: 0, maxNewTokens: 6 }
const said = (root: Artifact.Any): string => problems(root).map(({ problem }) => problem).join("\n")
const folder = folders("ask")
/** The prompts that policies were asked to go on from, as token ids. */
let asked: Array<string> = []
const spied = (): Engine => {
  const own = engine()
  return {
    ...own,
    policy: (...of) => {
      const policy = own.policy(...of)
      return {
        ...policy,
        sample: (prompts, ...how) => {
          asked.push(...prompts.map(String))
          return policy.sample(prompts, ...how)
        }
      }
    }
  }
}
/** As they are asked where they are prompts themselves. */
const encoded = async (prompts: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const rows = Source.prompts(Source.rows(prompts.map((prompt) => ({ prompt }))))
  await made(Sample.make({ policy: base, prompts: rows }, greedy), folder())
  return asked
}

const made = async <R>(root: Artifact.Any, at: string): Promise<ReadonlyArray<R>> => {
  asked = []
  const { exit } = succeeded(await runs(root, at, { engine: spied() }))
  const value = Exit.isSuccess(exit) ? exit.value as Made : undefined
  if (value?._tag !== "Data") throw new Error("it made no data")
  return [...value.dataset.rows] as unknown as ReadonlyArray<R>
}

describe("a context that the rows do not keep", () => {
  const system = "Once upon a time there was a big bird ."

  it("is what the policy answers: as where it stands in the prompts, beside the bare prompts", async () => {
    const rows = await made<CompletionRow>(
      Sample.make({ policy: base, prompts }, { ...greedy, ask: Ask.system(system) }),
      folder()
    )
    const inContext = asked
    assert.deepStrictEqual(rows.map(({ answer, prompt }) => [prompt, answer]), texts.map((text) => [text, text]))
    assert.deepStrictEqual(inContext, await encoded(texts.map((text) => `${system}\n\n${text}`)))
  })

  it("of completions: rewritten ones in their place, under their own prompts", async () => {
    const first = Sample.make({ policy: base, prompts }, greedy)
    const again = Sample.make({ policy: base, prompts: first }, {
      ...greedy,
      ask: Ask.template("{{completion}} {{prompt}}")
    })
    const before = await made<CompletionRow>(first, folder())
    const after = await made<CompletionRow>(again, folder())
    const inContext = asked.slice(-2)
    assert.deepStrictEqual(after.map(({ prompt }) => prompt), texts)
    assert.deepStrictEqual(inContext, await encoded(before.map((row) => `${row.completion} ${row.prompt}`)))
  })

  it("makes prompts out of examples", async () => {
    const sampled = Sample.prompts({ policy: base, prompts, examples: prompts }, {
      ...greedy,
      temperature: 1,
      completionsPerPrompt: 3,
      ask: Ask.fewShot(2)
    })
    const rows = await made<PromptRow>(sampled, folder())
    assert.isAtMost(rows.length, 6)
    for (const row of rows) {
      assert.deepStrictEqual(Object.keys(row), ["prompt"])
      assert.strictEqual(row.prompt, row.prompt.trim())
      assert.notStrictEqual(row.prompt, "")
    }
  })

  it("of a teacher is sequence-level distillation of its samples in the context, learnt under the bare prompts", async () => {
    const training = { batchSize: 2, learningRate: 1e-3, objective: Distillation.sequenceLevel }
    const distilled = (teacherAsk?: Ask.Ask) =>
      Distill.make({ student: base, teacher: base, prompts }, {
        ...training,
        maxNewTokens: 6,
        ...(teacherAsk === undefined ? {} : { teacherAsk })
      })
    succeeded(await runs(distilled(), folder(), { engine: spied() }))
    asked = []
    succeeded(await runs(distilled(Ask.system(system)), folder(), { engine: spied() }))
    const inContext = asked.slice(0, 2)
    assert.deepStrictEqual(inContext, await encoded(texts.map((text) => `${system}\n\n${text}`)))
  })

  it("is left out in a simulation, whose prompts have none: the same policies as without", async () => {
    const policies = async (ask: {} | { readonly ask: Ask.Ask }) => {
      const sampled = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: 3, ...ask })
      const root = Distill.make({
        student: base,
        teacher: base,
        prompts: Sample.prompts({ policy: base, prompts }, { ...greedy, ...ask })
      }, {
        batchSize: 2,
        learningRate: 1e-3,
        objective: Distillation.sequenceLevel,
        maxNewTokens: 3
      })
      assert.strictEqual(said(sampled), "")
      const { policies } = await Effect.runPromise(simulate(root))
      return policies.map(({ gold }) => gold)
    }
    // Another node has other streams of random numbers: the prompts are those of the world all the same.
    assert.lengthOf(await policies({}), 2)
    assert.lengthOf(await policies({ ask: Ask.system(system) }), 2)
  })
})

describe("what check refuses", () => {
  const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))
  const pool = Source.completions(Source.tales({ count: 4 }))
  const sample = (ask: Ask.Ask, wires: {} = {}) =>
    Sample.make({ policy: base, prompts, ...wires } as never, { ...greedy, ask })
  it.each<[string, Artifact.Any, RegExp]>([
    ["a context without one", sample(Ask.context({})), /ask has no context: give system, template, shots or chat/u],
    ["shots without examples", sample(Ask.fewShot(2)), /ask has shots 2, and there are no examples: connect/u],
    [
      "examples without shots",
      sample(Ask.system("s"), { examples: demonstrations }),
      /examples are connected, and ask takes none/u
    ],
    [
      "completions that nothing asks for",
      sample(Ask.system("s"), { prompts: pool }),
      /give ask a template with \{\{completion\}\}/u
    ],
    [
      "a teacher that is asked and compared",
      Distill.make({ student: base, teacher: base, prompts }, {
        batchSize: 2,
        learningRate: 1e-3,
        objective: Distillation.wordLevel,
        maxNewTokens: 3,
        teacherAsk: Ask.system("s")
      }),
      /teacherAsk needs whole answers/u
    ],
    [
      "a teacher that is not asked",
      Distill.make({ student: base, teacher: base, demonstrations }, {
        batchSize: 2,
        learningRate: 1e-3,
        objective: Distillation.sequenceLevel,
        teacherAsk: Ask.system("s")
      }),
      /teacherAsk is of no use/u
    ]
  ])("%s", (_, root, problem) => assert.match(said(root), problem))

  it("and what it does not", () => {
    const policy = Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-3 })
    assert.strictEqual(said(sample(Ask.fewShot(2), { examples: demonstrations, policy })), "")
    assert.strictEqual(said(sample(Ask.template("{{completion}}"), { prompts: pool })), "")
  })
})
