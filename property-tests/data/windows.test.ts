import { Effect } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { filled, verbatim } from "../../src/data/template.ts"
import { encodeWindows } from "../../src/data/windows.ts"
import type { Codec } from "../../src/engine/engine.ts"

/** A token for each character, with or without a token that begins a sequence. */
const codecOf = (begins: boolean): Codec => {
  const ids = (text: string) => Array.from(text, (char) => 10 + char.codePointAt(0)!)
  return {
    encodePrompt: (text) => Int32Array.from(begins ? [1, ...ids(text)] : ids(text)),
    encodeCompletion: (text, { end }) => Int32Array.from(end ? [...ids(text), 2] : ids(text)),
    decode: () => "",
    chat: () => "",
    stop: [2],
    vocab: 2 ** 21
  }
}

describe("windows of a text", () => {
  it("score each token once, after as much context as fits and the token that begins a sequence", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.integer({ min: 2, max: 12 }),
        fc.boolean(),
        (text, context, begins) => {
          const codec = codecOf(begins)
          const [{ bytes, rows }] = Effect.runSync(encodeWindows({ stage: "s", codec, context }, [{ text }])) as [any]
          const whole = [begins ? 1 : 2, ...codec.encodeCompletion(text, { end: false })]
          assert.deepStrictEqual(rows.flatMap(({ completion }: any) => [...completion]), whole.slice(1))
          let done = 1
          rows.forEach(({ completion, prompt }: any, i: number) => {
            assert.deepStrictEqual([...prompt], whole.slice(done - prompt.length, done))
            const last = i === rows.length - 1
            assert.strictEqual(prompt.length, last && i > 0 ? context - completion.length : 1)
            assert.isAtMost(prompt.length + completion.length, context)
            if (!last) assert.strictEqual(completion.length, context - 1)
            done += completion.length
          })
          assert.strictEqual(bytes, Buffer.byteLength(text))
        }
      )
    )
  })
})

describe("a template", () => {
  const text = fc.string({ unit: fc.constantFrom("{", "}", "a", '"', " ", "\\", "$&") })

  it("puts columns in their places and leaves any other text as it is", () => {
    fc.assert(fc.property(text, text, (before, value) => {
      assert.strictEqual(filled(`${verbatim(before)}{{ q }}!`, { q: value }), `${before}${value}!`)
    }))
    assert.strictEqual(filled("{{a.b}} is {{n}}", { "a.b": "x", n: 3 }), "x is 3")
  })

  it("names a column that is not there, and the columns that are", () => {
    assert.throws(() => filled("{{question}}", { Question: "?" }), /no column "question", .* the row has Question/u)
    assert.throws(() => filled("{{q}}", { q: [] }), /neither a text nor a number/u)
  })
})
