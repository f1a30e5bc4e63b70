import { Effect, Exit } from "effect"
import { assert, describe, it } from "vitest"
import { encodeDemonstrations, encodePairs, encodePrompts, encodeTexts } from "../../src/data/encode.ts"
import type { Codec } from "../../src/engine/engine.ts"

/** One token a letter, 0 in front, 1 at the end; capitals are unknown. */
const codec: Codec = {
  encodePrompt: (text) => Int32Array.of(0, ...letters(text)),
  encodeCompletion: (text, { end }) => Int32Array.of(...letters(text), ...(end ? [1] : [])),
  decode: (ids) => Array.from(ids, (id) => String.fromCharCode(id)).join(""),
  chat: () => {
    throw new Error("no template")
  },
  stop: [1],
  vocab: 128
}
const letters = (text: string): ReadonlyArray<number> =>
  Array.from(text, (letter) => {
    if (/[A-Z]/u.test(letter)) throw new Error(`the tokenizer has no token for ${letter}`)
    return letter.charCodeAt(0)
  })

const use = { stage: "sft-1", codec, context: 6 }
const ids = (text: string) => letters(text)
const run = <A, E>(effect: Effect.Effect<A, E>): A => Effect.runSync(effect)
const problem = (effect: Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>): string => {
  const exit = Effect.runSyncExit(effect)
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag !== "Fail") throw new Error("no typed failure")
  assert.strictEqual(reason.error._tag, "UnusableData")
  return reason.error.message
}

describe("rows as token ids", () => {
  it("demonstrations end with the end token, after their prompt", () => {
    const [row] = run(encodeDemonstrations(use, [{ prompt: "ab", completion: "c" }]))
    assert.deepStrictEqual(row, { prompt: Int32Array.of(0, ...ids("ab")), completion: Int32Array.of(...ids("c"), 1) })
  })

  it("text to pretrain on is all completion, after the first token", () => {
    const [row] = run(encodeTexts(use, [{ text: "abc" }]))
    assert.deepStrictEqual(row, { prompt: Int32Array.of(0), completion: Int32Array.of(...ids("abc"), 1) })
  })

  it("an answer that was cut off gets no end token, any other does", () => {
    const pair = { prompt: "", chosen: "a", rejected: "b" }
    const [whole, cut] = run(encodePairs(use, [
      { ...pair, margin: 2 },
      { ...pair, ended: { chosen: false, rejected: true } }
    ]))
    assert.deepStrictEqual([...whole!.chosen.completion, whole!.margin], [...ids("a"), 1, 2])
    assert.deepStrictEqual([[...cut!.chosen.completion], [...cut!.rejected.completion], cut!.margin], [
      [...ids("a")],
      [...ids("b"), 1],
      0
    ])
  })

  it("a row that just fits is taken, one token more is an error with row, length and remedy", () => {
    assert.lengthOf(run(encodeDemonstrations(use, [{ prompt: "ab", completion: "cd" }])), 1)
    const long = problem(
      encodeDemonstrations(use, [{ prompt: "a", completion: "b" }, { prompt: "ab", completion: "cde" }])
    )
    assert.strictEqual(
      long,
      'sft-1: row 2 has 7 tokens; the context is 6. Where it trains on them, set truncation: "drop", ' +
        '"keep-start" or "keep-end"; elsewhere leave them out, Filter.make({ of, tokenizer }, { maxTokens }), ' +
        "or take a model with a longer context."
    )
    assert.include(problem(encodeTexts(use, [{ text: "abcdef" }])), "row 1 has 8 tokens")
    const pair = { prompt: "ab", chosen: "c", rejected: "cde" }
    assert.include(problem(encodePairs(use, [pair])), "row 1 has 7 tokens")
  })

  it("a prompt leaves room for a token", () => {
    assert.deepStrictEqual(run(encodePrompts(use, [{ prompt: "abcd" }])), [Int32Array.of(0, ...ids("abcd"))])
    assert.include(
      problem(encodePrompts(use, [{ prompt: "abcde" }])),
      "row 1 has 6 tokens and needs room for 1 more; the context is 6"
    )
  })

  it("no row at all and a row the tokenizer does not know are errors", () => {
    for (const encode of [encodeTexts, encodeDemonstrations, encodePrompts, encodePairs]) {
      assert.strictEqual(problem(encode(use, [])), "sft-1: its data set is empty. Give it at least one row.")
    }
    assert.strictEqual(
      problem(encodePrompts(use, [{ prompt: "a" }, { prompt: "bA" }])),
      "sft-1: row 2 cannot be encoded: the tokenizer has no token for A. Use text that the model's tokenizer knows."
    )
  })
})
