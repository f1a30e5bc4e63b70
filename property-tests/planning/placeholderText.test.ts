import fc from "fast-check"
import { assert, it } from "vitest"
import { rowKinds } from "../../dsl/Artifact.ts"
import { described } from "../../src/data/described.ts"
import { encodingOf } from "../../src/data/encodings.ts"
import { prompts } from "../../src/data/tales/tales.ts"
import { lengths, rehearsed } from "../../src/planning/placeholderText.ts"

it("completions that nobody sampled are known again by their texts, of which no two are alike, without a tokenizer too", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 100_000 }),
      fc.uniqueArray(fc.nat({ max: 1_000_000 }), { minLength: 2 }),
      fc.integer({ min: 1, max: 12 }),
      (vocab, numbers, length) => {
        const { codec, completion } = rehearsed(lengths(vocab))
        const made = numbers.map((i) => completion(i, new Int32Array(length), codec.stop[0]))
        const texts = made.map((tokens) => codec.decode(tokens))
        assert.strictEqual(new Set(texts).size, numbers.length)
        texts.forEach((text, i) => {
          assert.deepStrictEqual(codec.encodeCompletion(text, { end: true }), made[i])
          assert.lengthOf(codec.encodeCompletion(text, { end: false }), length - 1)
        })
      }
    )
  )
})

it("a tokenizer that knows nothing but lengths tells texts apart: prompts that differ are not counted as one", () => {
  const { decode, encodeCompletion, encodePrompt } = lengths(32_000)
  const all = prompts("train").map(({ prompt }) => prompt)
  assert.strictEqual(new Set(all.map((text) => encodePrompt(text).join())).size, new Set(all).size)
  const text = all[0]!
  assert.strictEqual(encodePrompt(text).length, 1 + Math.ceil(text.length / 4))
  assert.strictEqual(encodeCompletion(text, { end: true }).length, encodeCompletion(text, { end: false }).length + 1)
  assert.strictEqual(decode(encodeCompletion(text, { end: false })).length, 4 * Math.ceil(text.length / 4))
  for (const id of encodePrompt(text)) assert.isTrue(id > 0 && id < 32_000)
})

it("described rows of every role have the tokens that are said, with any tokenizer, and no two are alike", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rowKinds),
      fc.record({ text: fc.integer({ min: 2, max: 40 }), prompt: fc.integer({ min: 2, max: 40 }) }),
      fc.integer({ min: 2, max: 40 }),
      fc.integer({ min: 2, max: 4 }),
      fc.integer({ min: 1, max: 100_000 }),
      (role, lengthsOf, completion, completions, rows) => {
        const { codec } = rehearsed(lengths(50_000))
        const dataset = described(role, { rows, tokens: { ...lengthsOf, completion, completions } })
        assert.lengthOf(dataset.rows, rows)
        const [first, last] = [dataset.rows[0]!, dataset.rows[rows - 1]!]
        if (rows > 1) assert.notDeepEqual(first, last)
        const encoding = encodingOf(role, codec)
        // `lengths` begins a prompt with a token of its own, and ends an answer with another; steps do not end.
        const expected = role === "Text"
          ? lengthsOf.text + 2
          : 1 + lengthsOf.prompt +
            (role === "Prompts" ? 0 : role === "Stepwise" ? completions * completion : completion + 1)
        for (const row of [first, last]) assert.strictEqual(encoding.tokens(encoding.encode(row)), expected)
      }
    )
  )
})
