import fc from "fast-check"
import { existsSync, readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "vitest"
import english from "../../src/rewards/english.json" with { type: "json" }
import { isEnglish, isName } from "../../src/rewards/english.ts"
import { englishShare, parts, stories } from "../../src/rewards/stories.ts"

const prompt = "Once upon a time, there was a little girl named Lily. She had a red ball."
const good =
  ' Lily went to the park to play with it. She met a boy who was sad. "Do you want to play?" asked Lily. The boy smiled and said, "Yes, please!" They played all day and were very happy. The end.'

const anything = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.array(fc.constantFrom("Lily", "she", '"', ".", "!", "the", "happy", "\n", "cried", "zq"), { maxLength: 60 }).map((
    w
  ) => w.join(" "))
)

describe("the gold reward of stories", () => {
  it("invariant 48: is pure, total and bounded", () => {
    fc.assert(
      fc.property(anything, anything, (before, after) => {
        const score = stories(before, after)
        assert.isTrue(Number.isFinite(score))
        assert.isAtLeast(score, -6.25)
        assert.isAtMost(score, 6)
        assert.strictEqual(stories(before, after), score)
        const share = englishShare(after)
        assert.isTrue(share >= 0 && share <= 1)
      }),
      { numRuns: 1000 }
    )
  })

  it("takes very long and empty completions", () => {
    for (
      const long of [
        "a".repeat(200_000),
        '"'.repeat(100_001),
        ". ".repeat(100_000),
        "She ran. ".repeat(20_000),
        " ".repeat(200_000)
      ]
    ) {
      assert.isBelow(stories(prompt, long), 2)
    }
    assert.strictEqual(stories(prompt, ""), -1)
  })

  it("is 6 less a hair for a story that does everything", () => {
    const of = parts(prompt, good)
    assert.deepStrictEqual({ ...of, repetition: 0 }, {
      sentences: 1,
      repetition: 0,
      characters: 1,
      pronouns: 0,
      dialogue: 1,
      happy: 1,
      english: 1,
      ending: 1
    })
    assert.isAbove(of.repetition, -0.2)
  })

  const edited = (from: string | RegExp, to: string) => parts(prompt, good.replace(from, to))
  it("sees each thing that goes wrong", () => {
    assert.isBelow(edited("She met", "she met").sentences, 1)
    assert.isBelow(edited("to the park", "to the of park").sentences, 1)
    assert.strictEqual(edited(/Lily/gu, "Tom").characters, 0)
    assert.isBelow(edited("The end.", "Tim and Sue and Max and Ben came.").characters, 1)
    assert.strictEqual(parts(prompt, " Lily ran home. He was happy.").pronouns, -0.5)
    assert.strictEqual(parts(prompt, " Lily ran home. She was happy.").pronouns, 0)
    assert.strictEqual(edited('play?"', "play?").dialogue, -0.5)
    assert.strictEqual(edited(/"/gu, "").dialogue, 0)
    assert.isBelow(edited("very happy", "very sad and lost").happy, 0)
    assert.isBelow(edited("went to the park", "wqet tzo thx pqrk xxyz kjkj").english, 1)
    assert.strictEqual(edited(" The end.", " They lived").ending, 0)
    assert.isBelow(
      edited("The end.", 'The boy smiled and said, "Yes, please!" They played all day and were very happy.').repetition,
      -0.5
    )
  })

  it("closes a quotation that the prompt left open", () => {
    assert.isAbove(parts('Lily said, "I want', ' to go home." Mom said yes.').dialogue, 0)
    assert.strictEqual(parts('Lily said, "I want', " to go home. Mom said yes.").dialogue, -0.5)
  })

  it("does not pay for piles of happy words or of names", () => {
    assert.isBelow(stories(prompt, " happy".repeat(50)), 1)
    assert.isBelow(stories(prompt, " Lily was happy.".repeat(12)), stories(prompt, good) - 2)
    assert.isBelow(stories(prompt, " Lily".repeat(50)), 1)
  })

  it("knows simple English and its endings, and no strings of letters", () => {
    assert.isAtLeast(new Set(Object.values(english.words).flat().join(" ").split(" ")).size, 700)
    for (
      const word of "hopping stories baked happier Children's leaves gently didn’t smiling cried bigger".split(" ")
    ) {
      assert.isTrue(isEnglish(word), word)
    }
    for (const word of "zq thx ing es blorf qed 's xs".split(" ")) assert.isFalse(isEnglish(word), word)
    assert.isTrue(isName("Lily's"))
    assert.strictEqual(englishShare("The dog ran home blorf"), 0.8)
    assert.strictEqual(englishShare(""), 0)
    assert.strictEqual(englishShare("Blorf ran home", "a cat named Blorf"), 1)
    fc.assert(
      fc.property(fc.array(fc.constantFrom(..."bcdfghjklmnpqrtvwxz"), { minLength: 4, maxLength: 9 }), (letters) => {
        assert.isFalse(isEnglish(letters.join("")))
      })
    )
  })

  const path = new URL("../../../shared/data/corpora/tinystories.jsonl.gz", import.meta.url)
  it.skipIf(!existsSync(path))(
    "ranks real stories over cut-off, scrambled, repeated ones (needs ../shared/data)",
    () => {
      const texts = gunzipSync(readFileSync(path)).toString("utf8").split("\n").filter((line) => line !== "").slice(
        0,
        300
      )
        .map((line) => (JSON.parse(line) as { readonly text: string }).text)
      const rows = texts.map((text) => {
        const opening = text.split(/(?<=[.!?]) /u).slice(0, 2).join(" ")
        return { opening, rest: text.slice(opening.length) }
      }).filter((row) => row.rest.length > 200)
      const mean = (of: (rest: string) => string) =>
        rows.reduce((sum, row) => sum + stories(row.opening, of(row.rest)), 0) / rows.length
      const real = mean((rest) => rest)
      assert.isAbove(real, 4)
      assert.isAbove(texts.reduce((sum, text) => sum + englishShare(text), 0) / texts.length, 0.9)
      assert.isBelow(mean((rest) => rest.slice(0, 180)), real - 1)
      assert.isBelow(mean((rest) => rest.split(" ").toReversed().join(" ")), real - 1)
      assert.isBelow(mean((rest) => `${rest.split(". ")[0]}.`.repeat(8)), real - 2)
    }
  )
})
