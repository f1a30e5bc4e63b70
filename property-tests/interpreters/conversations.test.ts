/** What was asked goes through every stage that makes prompts of prompts: a conversation, an answer and the other columns. */
import { Cause, Exit } from "effect"
import { assert, describe, it } from "vitest"
import { Difficulty, Filter, Mix, Pretrain, Sample, Score, Source, Verifier } from "../../dsl/index.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, runs } from "./tiny.ts"

const folder = folders("conversations")
const chatTemplate = `{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}\
{% if add_generation_prompt %}assistant :{% endif %}`
const text = Source.text(Source.rows([{ text: "user : a b assistant : b a user : b assistant : a tool : a b" }]))
const base = Pretrain.make({ text }, {
  family: "words",
  chatTemplate,
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 },
  steps: 2,
  batchSize: 1,
  learningRate: 1e-3
})
const user = (content: string) => ({ role: "user", content })
const rows = [
  { prompt: [user("a b")], answer: "b", kind: "one", tools: null },
  { prompt: [user("b"), { role: "assistant", content: "a", name: "x" }, user("a")], answer: "a", kind: "two" },
  { prompt: [user("b a"), { content: "a b", role: "tool", "1": 0 }], answer: "a", nested: { of: [1, null] } }
]
const prompts = Source.prompts(Source.rows(rows))
const sampled = Sample.make({ policy: base, prompts }, {
  completionsPerPrompt: 2,
  maxNewTokens: 4,
  batchSize: 1,
  checkpointEvery: 1
})
const scored = Score.byVerifier({ completions: sampled }, { verifiers: [Verifier.exactMatch()] })
const all = Difficulty.make({ completions: scored }, { atLeast: 0, atMost: 0.99 })
const chain = Filter.make({ of: Mix.make({ all }, {}) }, { minWords: 1 })

describe("a chain of Sample, Score, Difficulty, Mix and Filter", () => {
  it("keeps conversations and columns, stopped and resumed or not", async () => {
    const made = async (at: string) => {
      const { exit } = await runs(chain, at)
      if (Exit.isFailure(exit)) throw new Error(Cause.pretty(exit.cause))
      return (exit.value as { readonly dataset: { readonly rows: ReadonlyArray<Record<string, unknown>> } }).dataset
        .rows
    }
    const [whole, stopped] = [folder(), folder()]
    const kept = await made(whole)
    assert.sameDeepMembers(
      kept.map(({ answer, columns, messages }) => ({ answer, columns, messages })),
      rows.map(({ answer, prompt, ...columns }) => ({ answer, columns, messages: prompt }))
    )
    await runs(chain, stopped, {
      stopAt: (event) => event._tag === "Step" && event.stage.startsWith("sample-") && event.step === 2
    })
    assert.deepStrictEqual(await made(stopped), kept)
    assert.deepStrictEqual(contents(stopped), contents(whole))
    // Out of the store.
    assert.deepStrictEqual(await made(stopped), kept)
  })
})
