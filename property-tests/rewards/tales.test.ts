import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { moodWords } from "../../src/data/tales/lexicon.ts"
import { wordsOf } from "../../src/data/rows.ts"
import { parse, sentences } from "../../src/data/tales/parse.ts"
import { perfect } from "../../src/data/tales/story.ts"
import { demonstrations, prompts, words } from "../../src/data/tales/tales.ts"
import { parts, tales } from "../../src/data/tales/gold.ts"

const prompt = "write a happy story about a dog and a ball in the park ."
const good =
  "there was a dog in the park . one day he found a red ball . the dog played with the ball and laughed . at last he was proud . the end ."

const anything = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.array(fc.constantFrom(...words()), { maxLength: 80 }).map((list) => list.join(" "))
)

describe("the gold reward of the tales", () => {
  it("invariant 48: is pure, total and bounded", () => {
    fc.assert(
      fc.property(anything, anything, (asked, told) => {
        const score = tales(asked, told)
        assert.isTrue(Number.isFinite(score))
        assert.isAtLeast(score, -8)
        assert.isAtMost(score, 5)
        assert.strictEqual(tales(asked, told), score)
      }),
      { numRuns: 1000 }
    )
  })

  it("parses a sentence by all of its words, whatever was parsed before", () => {
    for (const sentence of sentences(wordsOf(good)).filter((words) => parse(words) !== undefined)) {
      const tree = structuredClone(parse(sentence))
      for (let i = 0; i < sentence.length; i++) assert.isUndefined(parse(sentence.with(i, "xyzzy")))
      assert.isUndefined(parse(sentence.slice(1)))
      assert.deepStrictEqual(parse(sentence), tree)
    }
    // More than are remembered.
    const [first] = sentences(wordsOf(good))
    const tree = structuredClone(parse(first!))
    for (let i = 0; i < 5000; i++) assert.isUndefined(parse(["dog", String(i)]))
    assert.deepStrictEqual(parse(first!), tree)
  })

  it("takes very long and empty completions", () => {
    for (
      const long of [
        "dog ".repeat(50_000),
        ". ".repeat(50_000),
        "the dog smiled . ".repeat(20_000),
        "x".repeat(100_000)
      ]
    ) {
      assert.isBelow(tales(prompt, long), 1)
    }
    assert.closeTo(tales(prompt, ""), -1.2, 1e-12)
    assert.closeTo(tales("", ""), -1.2, 1e-12)
  })

  it("is 5 for a story that does everything, worked by hand", () => {
    assert.deepStrictEqual(parts(prompt, good), {
      subject: 1,
      object: 1,
      mood: 1,
      extra: 0.5,
      grammar: 1,
      repetition: 0,
      ending: 0.5,
      length: 0
    })
    assert.strictEqual(tales(prompt, good), 5)
  })

  const asked = (other: string) => parts(other, good)
  it("sees the wrong subject, object, mood, place and number", () => {
    assert.strictEqual(asked("write a happy story about a cat and a ball .").subject, -0.25)
    assert.strictEqual(asked("write a happy story about a dog and a kite .").object, 0)
    assert.strictEqual(asked("write a sad story about a dog and a ball .").mood, -1)
    assert.strictEqual(asked("write a happy story about a dog and a ball on the hill .").extra, 0)
    assert.strictEqual(asked("write a happy story about a dog and a ball in four sentences .").extra, 0.5)
    assert.strictEqual(asked("write a happy story about a dog and a ball in five sentences .").extra, 0.2)
    assert.strictEqual(asked("write a happy story about a dog and a ball in three sentences .").extra, 0.2)
  })

  const edited = (from: string, to: string) => parts(prompt, good.replace(from, to))
  it("wants the subject to act and the object to be handled", () => {
    const idle = parts(prompt, "there was a dog . the sun was warm . the ball was gone . the end .")
    assert.strictEqual(idle.subject, 0.25)
    assert.strictEqual(idle.object, 0.3)
    assert.strictEqual(edited("he found", "a cat found").subject, 0.75)
  })

  it("wants grammar: agreement, what things are for, whole sentences", () => {
    assert.strictEqual(edited("he found", "she found").grammar, 0.25)
    assert.strictEqual(edited("played with the ball", "ate the ball").grammar, 0.25)
    assert.strictEqual(edited("played with the ball", "kicked the ball").grammar, 1)
    assert.strictEqual(edited("the dog played", "dog the played").grammar, 0.25)
    assert.strictEqual(edited("at last he was proud .", "at last he").grammar, 0.25)
    assert.strictEqual(parts(prompt, "he smiled . the dog smiled .").grammar, 1 / 3 - 0.75)
  })

  it("wants an end, once", () => {
    assert.strictEqual(edited(" the end .", "").ending, 0)
    assert.strictEqual(parts(prompt, "the end .").ending, 0)
    assert.isBelow(tales(prompt, `${good} the end .`), 5)
    assert.isBelow(tales(prompt, `${good} the dog smiled .`), 4.6)
  })

  it("goes down with every repetition, and saying one thing six times is worth little", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 6 }), (times) => {
      const line = " the dog played with the ball and laughed ."
      assert.isBelow(
        tales(prompt, good.replace(line, line.repeat(times + 1))),
        tales(prompt, good.replace(line, line.repeat(times)))
      )
    }))
    for (const { completion, prompt: wish } of demonstrations("six", 100, perfect)) {
      const second = `${completion.split(" . ")[1]} .`
      assert.isBelow(tales(wish, `${`${second} `.repeat(6)}the end .`), 0.5)
    }
  })

  it("does not pay for piling up words of the mood, nor for length", () => {
    const words = [...moodWords.happy].join(" ")
    assert.isBelow(tales(prompt, good.replace("the end .", `${words} . the end .`)), 4.5)
    const padded = good.replace(
      "the end .",
      "the sun was warm . the day was bright . a friend helped the dog . so he smiled and danced . the dog jumped for joy because he kicked the ball . the end ."
    )
    assert.isAbove(wordsOf(padded).length, 48)
    assert.isBelow(tales(prompt, padded), 5)
  })

  it("prefers perfect stories to the same ones cut off, in another order of words, or told for another prompt", () => {
    const rows = demonstrations("better", 200, perfect)
    for (const { completion, prompt: wish } of rows) {
      const whole = tales(wish, completion)
      assert.isAbove(whole, 4)
      const list = wordsOf(completion)
      assert.isBelow(tales(wish, list.slice(0, -6).join(" ")), whole)
      assert.isBelow(tales(wish, list.toReversed().join(" ")), 0)
    }
    const held = prompts("held", "other", 200)
    const strangers = rows.map((row, i) => tales(held[i]!.prompt, row.completion))
    assert.isBelow(strangers.reduce((a, b) => a + b, 0) / strangers.length, 3)
  })
})
