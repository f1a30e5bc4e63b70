import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { type Arguments, follows, unusable } from "../../src/rewards/instructions.ts"
import { sentencesOf } from "../../src/rewards/text/words.ts"
import { isHere, rowsOf } from "./shared.ts"

/** Of each instruction: its arguments, a text that follows it, and a text that does not. */
const examples: Readonly<Record<string, readonly [Arguments, string, string]>> = {
  "keywords:existence": [{ keywords: ["Dog", "c++"] }, "a dog in C++", "a dog in C"],
  "keywords:frequency": [{ keyword: "dog", frequency: 2, relation: "at least" }, "Dogs, dog", "a dog"],
  "keywords:forbidden_words": [{ forbidden_words: ["dog"] }, "dogs", "A Dog!"],
  "keywords:letter_frequency": [{ letter: "a", let_frequency: 2, let_relation: "less than" }, "A b", "A a"],
  "language:response_language": [
    { language: "de" },
    "Das ist ein einfacher Satz in deutscher Sprache.",
    "This is a plain sentence in English."
  ],
  "length_constraints:number_sentences": [
    { num_sentences: 3, relation: "at least" },
    "one is here. two is, e.g. here.\nAnd three?",
    "One is here. Mr. Two is here"
  ],
  "length_constraints:number_paragraphs": [{ num_paragraphs: 2 }, "a\n***\nb", "a\n***\n***\nb"],
  "length_constraints:number_words": [{ num_words: 3, relation: "less than" }, "two words", "it's three"],
  "length_constraints:nth_paragraph_first_word": [
    { num_paragraphs: 2, nth_paragraph: 2, first_word: "Dog" },
    'a\n\n"dog, b',
    "dog\n\na"
  ],
  "detectable_content:number_placeholders": [{ num_placeholders: 2 }, "[a] [b]", "[a\n] [b]"],
  "detectable_content:postscript": [{ postscript_marker: "P.S." }, "a\np. s. b", "a\nPS b"],
  "detectable_format:number_bullet_lists": [{ num_bullets: 2 }, "* a\n - b", "* a\n** b"],
  "detectable_format:constrained_response": [{}, "My answer is maybe.", "Maybe."],
  "detectable_format:number_highlighted_sections": [{ num_highlights: 2 }, "*a* *b*", "*a* * *"],
  "detectable_format:multiple_sections": [
    { section_spliter: "SECTION", num_sections: 2 },
    "SECTION 1 a SECTION 2",
    "SECTION 1"
  ],
  "detectable_format:json_format": [{}, '```json\n{"a": 1}\n```', "{a: 1}"],
  "detectable_format:title": [{}, "<<a title>>", "<< >>"],
  "combination:two_responses": [{}, "a\n******\nb", "a\n******\na"],
  "combination:repeat_prompt": [{ prompt_to_repeat: "Say so." }, "say so. Yes.", "Yes. Say so."],
  "startend:end_checker": [{ end_phrase: "Bye!" }, 'well, "bye!"', "Bye! Bye"],
  "startend:quotation": [{}, '"a"', '"a'],
  "change_case:capital_word_frequency": [{ capital_frequency: 2, capital_relation: "at least" }, "I'm A-B", "A bc"],
  "change_case:english_capital": [{}, "THIS IS A PLAIN SENTENCE.", "THIS IS A PLAIN sentence."],
  "change_case:english_lowercase": [{}, "this is a plain sentence.", "dies ist ein einfacher satz auf deutsch."],
  "punctuation:no_comma": [{}, "a; b", "a, b"]
}

describe("instructions of IFEval", () => {
  it("each of the 25 is followed by one text and not by another, strictly, and by no empty text", () => {
    assert.lengthOf(Object.keys(examples), 25)
    for (const [id, [args, right, wrong]] of Object.entries(examples)) {
      assert.isNull(unusable(id, args), id)
      assert.isTrue(follows(id, args, right, "strict"), id)
      assert.isFalse(follows(id, args, wrong, "strict"), id)
      assert.isFalse(follows(id, args, " \n", "loose"), id)
    }
  })

  it("loosely, without the first line, the last line and the asterisks", () => {
    const says = (text: string, how: "strict" | "loose") => follows("startend:quotation", {}, text, how)
    for (const text of ['Sure:\n"a"', '"a"\nBye', 'Sure:\n**"a"**\nBye']) {
      assert.isFalse(says(text, "strict"), text)
      assert.isTrue(says(text, "loose"), text)
    }
    assert.isFalse(says('a\nb\n"a"', "loose"))
  })

  it("sentences end at full stops, but not of abbreviations; an empty paragraph counts for the place of the others", () => {
    assert.lengthOf(sentencesOf("it is, e.g. this, etc. and J. Smith.\n\nso it is. Dr. No too!"), 3)
    const args = { num_paragraphs: 2, nth_paragraph: 3, first_word: "b" }
    assert.isFalse(follows("length_constraints:nth_paragraph_first_word", args, "a\n\n\n\nb", "strict"))
  })

  it("what is strictly followed is loosely followed; malformed arguments and any text have a verdict", () => {
    const args = fc.dictionary(
      fc.constantFrom("keywords", "num_words", "relation", "language", "letter"),
      fc.jsonValue()
    )
    const text = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[-*"<>[\]A-Za-z0-9 .,\n]{0,60}$/u))
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(examples)), args, text, (id, args, text) => {
        for (const given of [args, examples[id]![0]]) {
          if (follows(id, given, text, "strict")) assert.isTrue(follows(id, given, text, "loose"))
        }
      }),
      { numRuns: 300 }
    )
  })

  it("a missing argument and an unknown name are said", () => {
    assert.strictEqual(
      unusable("length_constraints:number_words", {}),
      "length_constraints:number_words needs relation"
    )
    assert.strictEqual(unusable("toString", {}), "toString is no instruction of IFEval")
    assert.match(unusable("language:response_language", { language: "qq" })!, /qq is not detected/u)
    for (const [id, [args]] of Object.entries(examples)) {
      for (const name of Object.keys(args)) {
        assert.match(unusable(id, { ...args, [name]: undefined }) ?? "", new RegExp(`${id} needs ${name}`, "u"))
      }
    }
  })

  it("a million characters have a verdict", () => {
    for (const part of ["[", "<", "*", '"', " *\n", "a.a.", ". ", "the cat. "]) {
      const text = part.repeat(1e6 / part.length)
      for (const [id, [args]] of Object.entries(examples)) assert.isBoolean(follows(id, args, text, "strict"))
    }
  })

  it("has the verdicts of the reference checker on real responses (needs ../shared/data)", ({ skip }) => {
    if (!isHere("ifeval/golden_qwen_mistral")) return skip("no ../shared/data here")
    // Rest on other libraries (`../shared/data/README.md`): nltk and langdetect.
    const other = /number_sentences|capital_word_frequency|response_language|english_/u
    for (const how of ["strict", "loose"] as const) {
      let [all, right, ported, agreeing] = [0, 0, 0, 0]
      for (
        const row of rowsOf<
          & Readonly<Record<"strict" | "loose", ReadonlyArray<boolean>>>
          & { readonly key: number; readonly response: string }
          & { readonly instruction_id_list: ReadonlyArray<string>; readonly kwargs: ReadonlyArray<Arguments> }
        >("ifeval/golden_qwen_mistral")
      ) {
        if (row.key === 2785) continue
        for (const [i, id] of row.instruction_id_list.entries()) {
          const args = row.kwargs[i]!
          if (id === "keywords:letter_frequency" && !/^[a-z]$/iu.test(String(args["letter"]))) continue
          const same = follows(id, args, row.response, how) === row[how][i] ? 1 : 0
          all++
          right += same
          if (!other.test(id)) {
            ported++
            agreeing += same
          }
        }
      }
      assert.isAbove(ported, 900)
      assert.isAtLeast(agreeing / ported, 0.995, how)
      assert.isAtLeast(right / all, 0.99, how)
    }
  })
})
