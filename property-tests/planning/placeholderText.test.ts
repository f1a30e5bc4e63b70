import fc from "fast-check"
import { assert, it } from "vitest"
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
