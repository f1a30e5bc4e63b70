import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { cut } from "../../src/data/openings.ts"

describe("openings", () => {
  const story = 'Once there was a dog. He ran far away. "Come back!" said Tom. The dog came\nback  home.'

  it("cut after so many words, and end with the sentence that reaches the length", () => {
    assert.deepStrictEqual(cut(story, 3, 4), [{ prompt: "Once there was", completion: " a dog. He ran far away." }])
    assert.deepStrictEqual(cut(story, 3, 2), [{ prompt: "Once there was", completion: " a dog." }])
    assert.deepStrictEqual(cut(story, 9, 1), [{
      prompt: "Once there was a dog. He ran far away.",
      completion: ' "Come back!"'
    }])
  })

  it("go on to the end of a text whose last sentence is too short or does not end", () => {
    assert.deepStrictEqual(cut(story, 14, 60), [{
      prompt: 'Once there was a dog. He ran far away. "Come back!" said Tom. The',
      completion: " dog came back home."
    }])
    assert.deepStrictEqual(cut("one two three", 2, 5), [{ prompt: "one two", completion: " three" }])
  })

  it("are nothing when the text is over before", () => {
    assert.deepStrictEqual(cut("one two", 2, 5), [])
    assert.deepStrictEqual(cut("  \n ", 1, 5), [])
    assert.deepStrictEqual(cut("", 1, 5), [])
  })

  it("are the beginning of the text, word for word", () => {
    const word = fc.stringMatching(/^[a-z]{1,4}[.!?,]?$/)
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        (words, n, more) => {
          for (const { completion, prompt } of cut(words.join(" "), n, more)) {
            assert.isTrue(words.join(" ").startsWith(prompt + completion))
            assert.strictEqual(prompt.split(" ").length, n)
            const rest = completion.trim().split(" ")
            assert.isTrue(rest.length + n === words.length || rest.length >= more && /[.!?]$/.test(completion))
          }
        }
      )
    )
  })
})
