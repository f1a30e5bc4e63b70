import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Verifier } from "../../dsl/index.ts"
import { prompts } from "../../src/data/tales/tales.ts"
import type { PromptRow } from "../../src/data/rows.ts"
import { votesOf } from "../../src/evaluation/vote.ts"
import { unreachable, verify as verdict } from "../../src/rewards/verifier.ts"
import { votingOf } from "../../src/rewards/vote.ts"
import { isHere, rowsOf } from "./shared.ts"

const verify = (verifier: Verifier.Check, completion: string, answer: string | undefined): boolean =>
  verdict(verifier, { prompt: "", ...(answer === undefined ? {} : { answer }) }, completion) === 1

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.stringMatching(/^[-+$.,0-9# a\n]{0,12}$/u))
const all: ReadonlyArray<Verifier.Check> = [
  Verifier.finalAnswer("####"),
  Verifier.lastNumber(),
  Verifier.keywords(),
  Verifier.format(["<think>", "</think>"]),
  Verifier.mathematics(),
  Verifier.instructions({ partly: true }),
  Verifier.languageConsistency("en"),
  Verifier.targetLength({ shape: "exact", unit: "characters", alpha: 0.1 }),
  Verifier.overlong({ unit: "words", max: 4, buffer: 3 }),
  Verifier.noRepetition({ n: 2 }),
  Verifier.pattern("a+"),
  Verifier.jsonSchema({ type: "number" }),
  Verifier.exactMatch({ loose: true }),
  Verifier.countdown(),
  Verifier.letterCount(),
  Verifier.ended()
]
const columns = fc.record({
  instruction_id_list: fc.constant(["punctuation:no_comma", "startend:quotation"]),
  kwargs: fc.oneof(fc.constant([{}, {}]), fc.jsonValue()),
  target_length: fc.oneof(fc.nat(20), fc.jsonValue()),
  numbers: fc.oneof(fc.array(fc.nat(9)), fc.jsonValue()),
  target: fc.oneof(fc.nat(9), fc.jsonValue()),
  letter: fc.oneof(fc.string(), fc.jsonValue()),
  word: fc.oneof(fc.string(), fc.jsonValue())
}, { requiredKeys: [] }) as fc.Arbitrary<PromptRow["columns"] & object>

describe("verifiers", () => {
  it("invariant 48: pure and total: any texts get an answer, the same one twice; without the answer it needs, no", () => {
    fc.assert(
      fc.property(fc.constantFrom(...all), text, text, columns, (verifier, completion, answer, columns) => {
        const said = verdict(verifier, { prompt: "", answer, columns }, completion)
        assert.isAtLeast(said, 0)
        assert.isAtMost(said, 1)
        assert.strictEqual(verdict(verifier, { prompt: "", answer, columns }, completion), said)
        if (Verifier.needsAnswer(verifier)) {
          assert.strictEqual(verdict(verifier, { prompt: "", columns }, completion), 0)
        }
        if (unreachable(verifier, { prompt: "", answer, columns }) !== null) assert.isBelow(said, 1)
      }),
      { numRuns: 800 }
    )
  })

  it("final answer: what follows the last marker on its line, as a number or as text", () => {
    const says = (completion: string, answer: string) => verify(Verifier.finalAnswer("####"), completion, answer)
    assert.isTrue(says("3 + 4 = 7\n#### 7", "7"))
    assert.isTrue(says("#### 1\nno:\n#### $1,234.50.\nbye 9", "1234.5"))
    assert.isTrue(says("#### the  dog", "the dog"))
    assert.isTrue(says("#### -0.0", "0"))
    for (
      const [completion, answer] of [
        ["7", "7"],
        ["#### 7 apples", "7"],
        ["#### 77", "7"],
        ["####", ""],
        ["####\n7", "7"],
        ["#### 1,23", "123"],
        ["#### 7 8", "8"],
        ["#### dog", "the dog"],
        ["#### 7\n#### 8", "7"],
        // As double precision they are equal.
        ["#### 9007199254740993", "9007199254740992"]
      ] as const
    ) assert.isFalse(says(completion, answer), completion)
  })

  it("last number", () => {
    const says = (completion: string, answer: string) => verify(Verifier.lastNumber(), completion, answer)
    assert.isTrue(says("so 3 and then 1,000.", "1000"))
    assert.isTrue(says("it is -5", "-5"))
    for (const [completion, answer] of [["1000 or 3", "1000"], ["none", "0"], ["5", "five"], ["1.2.3", "3"]] as const) {
      assert.isFalse(says(completion, answer), completion)
    }
  })

  it("keywords: whole words, all of them", () => {
    const says = (completion: string, answer: string) => verify(Verifier.keywords(), completion, answer)
    assert.isTrue(says("the dog saw a ball .", "dog ball"))
    for (
      const [completion, answer] of [["the dogs saw a ball", "dog ball"], ["a dog", "dog ball"], [
        "a dog",
        " "
      ]] as const
    ) {
      assert.isFalse(says(completion, answer), completion)
    }
  })

  it("format: every part once, in order, the last at the end", () => {
    const says = (completion: string) => verify(Verifier.format(["<t>", "</t>"]), completion, undefined)
    assert.isTrue(says("<t> so it is </t>\n"))
    for (const bad of ["", "<t>", "</t><t>", "<t></t> x", "<t><t></t>", "<t></t></t>"]) assert.isFalse(says(bad), bad)
  })

  it("GSM8K's own answers are reached by a number; an answer that is none is said", () => {
    const answer = "She has 3 + 4 = <<3+4=7>>7 pens.\n#### 7"
    for (const verifier of [Verifier.lastNumber(), Verifier.finalAnswer("####"), Verifier.mathematics()]) {
      assert.isNull(unreachable(verifier, { prompt: "", answer }))
      assert.isTrue(verify(verifier, answer, answer))
      assert.isTrue(verify(verifier, "#### 7", answer))
      assert.isFalse(verify(verifier, "#### 8", answer))
      assert.match(unreachable(verifier, { prompt: "", answer: " " })?.problem ?? "", /can never hold/u)
    }
    assert.match(
      unreachable(Verifier.lastNumber(), { prompt: "", answer: "seven pens" })!.problem,
      /"seven pens", which is no number, so LastNumber can never hold/u
    )
    for (
      const verifier of [
        Verifier.instructions(),
        Verifier.countdown(),
        Verifier.letterCount(),
        Verifier.pattern("(?=a)")
      ]
    ) {
      assert.isNotNull(unreachable(verifier, { prompt: "" }))
    }
    assert.isNotNull(unreachable(Verifier.languageConsistency("qq"), { prompt: "" }))
  })

  it("shares: length, overlong, repetition, language", () => {
    const share = (verifier: Verifier.Check, completion: string, asked: object = {}) =>
      verdict(verifier, { prompt: "", ...asked }, completion)
    const exact = Verifier.targetLength({ shape: "exact", unit: "words", target: 4, alpha: 0.25 })
    assert.deepStrictEqual(["", "a", "a b c d", "a b c d e"].map((text) => share(exact, text)), [0, 0.25, 1, 0.75])
    const max = Verifier.targetLength({ shape: "max", unit: "tokens", alpha: 0.25 })
    const asked = (tokens: number) => ({ tokens, columns: { target_length: 4 } })
    assert.deepStrictEqual([1, 3, 4, 6].map((tokens) => share(max, "", asked(tokens))), [1, 0.75, 0.5, 0])
    assert.strictEqual(share(max, "a b", { columns: { target_length: 4 } }), 0)
    const overlong = Verifier.overlong({ unit: "characters", max: 8, buffer: 4 })
    assert.deepStrictEqual([4, 6, 8, 9].map((n) => share(overlong, "x".repeat(n))), [1, 0.5, 0, 0])
    assert.strictEqual(share(Verifier.noRepetition({ n: 2 }), "a b A b a"), 0.5)
    assert.strictEqual(share(Verifier.noRepetition(), "a b c"), 1)
    const english = Verifier.languageConsistency("en")
    assert.strictEqual(share(english, "This is a plain English sentence. 12"), 1)
    assert.strictEqual(share(english, "Das ist ein einfacher deutscher Satz."), 0)
    assert.strictEqual(share(english, "We let 设 x be one."), 5 / 6)
    assert.strictEqual(share(english, "12 + 3"), 0)
  })

  it("all or nothing: patterns, JSON, exact match, countdown, letters, ended", () => {
    const says = (verifier: Verifier.Check, completion: string, asked: object = {}) =>
      verdict(verifier, { prompt: "", ...asked }, completion) === 1
    assert.isTrue(says(Verifier.pattern("(?i)b+"), "aBc"))
    assert.isFalse(says(Verifier.pattern("b+", { whole: true }), "abc"))
    assert.isFalse(says(Verifier.pattern("(a+)+$"), `${"a".repeat(100_000)}!`))
    const json = Verifier.jsonSchema({ type: "object", properties: { n: { type: "integer" } }, required: ["n"] })
    assert.isTrue(says(json, 'Here:\n```json\n{"n": 1}\n```\nDone.'))
    for (const bad of ['{"n": 1.5}', "{}", "n: 1"]) assert.isFalse(says(json, bad), bad)
    assert.isTrue(says(Verifier.exactMatch(), " the  dog\n", { answer: "the dog" }))
    assert.isFalse(says(Verifier.exactMatch(), "The dog.", { answer: "the dog" }))
    assert.isTrue(says(Verifier.exactMatch({ loose: true }), "The dog.", { answer: "the dog" }))
    const task = { columns: { numbers: [6, 39, 69], target: 114 } }
    for (const right of ["<answer>69 + (6 + 39)</answer>", "a\nSo: 69 + 6 + 39 = 114", "\\boxed{69+39+6}"]) {
      assert.isTrue(says(Verifier.countdown(), right, task), right)
    }
    for (const wrong of ["114", "69 + 39", "69 + 39 + 6 + 0", "69 + 39 + 6 + 6 - 6", "69 + 39 + (6", "69 39 6"]) {
      assert.isFalse(says(Verifier.countdown(), wrong, task), wrong)
    }
    assert.isTrue(says(Verifier.countdown(), "8 / (3 - 8 / 3)", { columns: { numbers: [3, 3, 8, 8], target: 24 } }))
    assert.isFalse(says(Verifier.countdown(), "1 / 0", { columns: { numbers: [0, 1], target: 0 } }))
    assert.isTrue(says(Verifier.letterCount(), "There are 2.", { columns: { word: "Adventure", letter: "E" } }))
    assert.isTrue(says(Verifier.ended(), "", { ended: true }))
    assert.isFalse(says(Verifier.ended(), ""))
  })

  it("every prompt of the built-in task has an answer made of its own words", () => {
    for (const { answer, prompt } of prompts("held", "verify", 200)) {
      assert.isTrue(verify(Verifier.keywords(), prompt, answer), prompt)
    }
  })

  it("says of thousands of real answers to GSM8K what OpenAI's labels say (needs ../shared/data)", ({ skip }) => {
    if (!isHere("math/gsm8k_model_solutions")) return skip("no ../shared/data here")
    const rows = rowsOf<{ readonly solution: string; readonly ground_truth: string; readonly is_correct: boolean }>(
      "math/gsm8k_model_solutions"
    )
    const wrong = rows.filter(({ ground_truth, is_correct, solution }) =>
      verify(Verifier.finalAnswer("A:"), solution, ground_truth) !== is_correct
    )
    assert.isAbove(rows.length, 1000)
    assert.isAtMost(wrong.length / rows.length, 0.005, JSON.stringify(wrong.slice(0, 5)))
  })
})

describe("votes", () => {
  it("of a verifier are for the answers that it finds, equal as it compares them", () => {
    const votes = (verifier: Verifier.Verifier, texts: ReadonlyArray<string>) => {
      const { answer, same } = votingOf(verifier)!
      return votesOf(texts.map(answer), same)
    }
    const texts = ["so #### 1,000", "the answer is \\boxed{2}", "#### 1000.0", "no", "#### 2"]
    assert.deepStrictEqual(votes(Verifier.finalAnswer("####"), texts), [0, null, 0, null, 4])
    assert.deepStrictEqual(votes(Verifier.lastNumber(), texts), [0, 1, 0, null, 1])
    assert.deepStrictEqual(votes(Verifier.mathematics(), texts), [0, 1, 0, null, 1])
    assert.deepStrictEqual(votes(Verifier.mathematics(), ["\\boxed{\\frac12}", "\\boxed{0.5}", "\\boxed{x}"]), [
      0,
      0,
      2
    ])
    assert.isNull(votingOf(Verifier.keywords()))
  })
})
