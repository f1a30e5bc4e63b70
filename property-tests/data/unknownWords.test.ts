/** Lines about rows: text outside the vocabulary, rows without a prompt. */
import { Console, Effect } from "effect"
import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { encodeDemonstrations, encodePairs, encodeTexts, type For } from "../../src/data/encode.ts"
import type { Row } from "../../src/engine/engine.ts"
import { codec } from "../../src/model/tokenizer.ts"
import { wordLevel } from "../../src/model/wordLevel.ts"

const words = ["a", "b", "c"]
const use: For = {
  stage: "sft-1",
  codec: codec(wordLevel(words), { vocab: 7, bos: 1, eos: [2] } as never),
  context: 64
}

/** The lines on standard error. */
const told = <A, E>(effect: Effect.Effect<A, E>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const console = { ...globalThis.console, error: (line: string) => void lines.push(line) }
  Effect.runSync(Effect.provideService(effect, Console.Console, console as never))
  return lines
}

describe("text outside the vocabulary", () => {
  it("is told once with its count, rows and first words, and text inside is not", () => {
    const text = fc.array(fc.constantFrom(...words, "x", "yy", "z1", "z2", "z3", "z4"), { minLength: 1, maxLength: 8 })
    fc.assert(fc.property(fc.array(text, { minLength: 1, maxLength: 6 }), (rows) => {
      const lines = told(encodeTexts(use, rows.map((row) => ({ text: row.join(" ") }))))
      const strange = rows.map((row) => row.filter((word) => !words.includes(word)))
      const count = strange.flat().length
      if (count === 0) return assert.deepStrictEqual(lines, [])
      assert.lengthOf(lines, 1)
      const all = rows.flat().length + 2 * rows.length
      const rowsWith = strange.filter((row) => row.length > 0).length
      const start =
        `! sft-1  ${count} of ${all} tokens, in ${rowsWith} of ${rows.length} rows, are outside the vocabulary (<unk>): `
      assert.isTrue(lines[0]!.startsWith(start), `${lines[0]} instead of ${start}`)
      for (const word of [...new Set(strange.flat())].slice(0, 1)) assert.include(lines[0], `“${word}”`)
    }))
  })

  it("is found in every text of a row", () => {
    const pair = { prompt: "a", chosen: "b odd", rejected: "strange" }
    assert.match(told(encodePairs(use, [pair]))[0]!, /2 of \d+ tokens, in 1 of 1 rows, .*: “odd”, “strange”$/u)
    assert.deepStrictEqual(told(encodePairs({ ...use, told: true }, [pair])), [])
  })
})

describe("rows without a prompt", () => {
  const row = (prompt: string) => ({ prompt, completion: "b c" })

  it("are told with their count where the tokenizer puts no token in front, and their first token is the context", () => {
    const bare = { ...use.codec, encodePrompt: (text: string) => use.codec.encodePrompt(text).slice(1) }
    const rows = [row(""), row("a"), row("")]
    const found: Array<Row> = []
    const lines = told(Effect.map(encodeDemonstrations({ ...use, codec: bare }, rows), (all) => found.push(...all)))
    assert.deepStrictEqual(lines, [
      "! sft-1  2 of 3 rows have no prompt: the first token of each is its context, and is not learnt"
    ])
    assert.deepStrictEqual(found.map(({ prompt }) => prompt.length), [1, 1, 1])
    assert.strictEqual(found[0]!.completion.length, found[1]!.completion.length - 1)
    assert.deepStrictEqual(told(encodeDemonstrations(use, rows)), [])
  })
})
