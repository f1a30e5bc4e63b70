import fc from "fast-check"
import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { gunzipSync } from "node:zlib"
import { Verifier } from "../../dsl/index.ts"
import { prompts } from "../../src/data/tales/tales.ts"
import { verify as verdict } from "../../src/rewards/verifier.ts"

const verify = (verifier: Verifier.Verifier, completion: string, answer: string | undefined): boolean =>
  verdict(verifier, { prompt: "", ...(answer === undefined ? {} : { answer }) }, completion) === 1

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.stringMatching(/^[-+$.,0-9# a\n]{0,12}$/u))
const all: ReadonlyArray<Verifier.Verifier> = [
  Verifier.finalAnswer("####"),
  Verifier.lastNumber(),
  Verifier.keywords(),
  Verifier.format(["<think>", "</think>"])
]

describe("verifiers", () => {
  it("invariant 48: pure and total: any texts get an answer, the same one twice; without the answer it needs, no", () => {
    fc.assert(
      fc.property(fc.constantFrom(...all), text, text, (verifier, completion, answer) => {
        const said = verify(verifier, completion, answer)
        assert.isBoolean(said)
        assert.strictEqual(verify(verifier, completion, answer), said)
        if (Verifier.needsAnswer(verifier)) assert.isFalse(verify(verifier, completion, undefined))
      }),
      { numRuns: 500 }
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

  it("every prompt of the built-in task has an answer made of its own words", () => {
    for (const { answer, prompt } of prompts("held", "verify", 200)) {
      assert.isTrue(verify(Verifier.keywords(), prompt, answer), prompt)
    }
  })

  const path = new URL("../../../shared/data/math/gsm8k_model_solutions.jsonl.gz", import.meta.url)
  it("says of thousands of real answers to GSM8K what OpenAI's labels say", ({ skip }) => {
    if (!existsSync(path)) return skip("no ../shared/data here")
    const rows = gunzipSync(readFileSync(path)).toString("utf8").split("\n").filter((line) => line !== "")
      .map((line) =>
        JSON.parse(line) as { readonly solution: string; readonly ground_truth: string; readonly is_correct: boolean }
      )
    const wrong = rows.filter(({ ground_truth, is_correct, solution }) => {
      const answer = ground_truth.slice(ground_truth.lastIndexOf("A:") + 2).trim().split("\n", 1)[0]!
      return verify(Verifier.finalAnswer("A:"), solution, answer.replace(/^.*#### ?/su, "")) !== is_correct
    })
    assert.isAbove(rows.length, 1000)
    assert.isAtMost(wrong.length / rows.length, 0.005, JSON.stringify(wrong.slice(0, 5)))
  })
})
