import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { late } from "../../src/rewards/asked/ask.ts"
import { answerIn, referenceIn } from "../../src/rewards/mathematics/extract.ts"
import { isSolved } from "../../src/rewards/mathematics/mathematics.ts"
import { isHere, rowsOf } from "./shared.ts"

const solves = (said: string, answer: string): boolean => isSolved(`So it is \\boxed{${said}}.`, answer, false)

/** A rational number in some spelling. */
const written = (n: number, d: number) =>
  fc.constantFrom(
    `\\frac{${n}}{${d}}`,
    `\\dfrac{${3 * n}}{${3 * d}}`,
    `${n}/${d}`,
    `$${n} / ${d}$`,
    `\\left(\\frac{${n}}{${d}}\\right)`,
    `x = \\frac{${n}}{${d}}`,
    `${n}\\cdot\\frac{1}{${d}}`
  )

describe("mathematical answers", () => {
  it("stand in the last box, after the last marker, or are the last number", () => {
    for (
      const [text, answer] of [
        ["\\boxed{1} and \\boxed{\\frac{1}{2}} or 3", "\\frac{1}{2}"],
        ["\\boxed{\\text{a {b} c}}", "\\text{a {b} c}"],
        ["\\boxed {7}", "7"],
        ["\\boxed{\\{1,2\\}}", "\\{1,2\\}"],
        ["\\boxed{5} but then \\boxed{6", "5"],
        ["{ \\boxed{7}", "7"],
        ["#### 1\n2\n#### 3\n4", "3"],
        ["so\nA: 12", "12"],
        ["Plan A: 3", undefined],
        ["The answer is 42. Check: 43", "42"],
        ["The final answer is:\n\n$x=5$ as 6", "x=5"],
        ["**Answer:** 18 dollars", "18 dollars"],
        ["he answered 3", undefined],
        ["", undefined]
      ] as const
    ) assert.strictEqual(answerIn(text, false)?.trim(), answer, text)
    assert.isTrue(isSolved("The correct answer is option B.", "\\text{(B)}", false))
    assert.isTrue(isSolved("**Answer: 18 dollars**", "18", false))
    assert.strictEqual(answerIn("from 3 to 1,000.", true), "1,000")
    assert.strictEqual(answerIn("it is 3/4", true), "3/4")
    assert.strictEqual(referenceIn("2 × 6 = 12.\n#### 12").trim(), "12")
    assert.strictEqual(referenceIn("The answer is in the box"), "The answer is in the box")
  })

  it("are equal when they mean the same", () => {
    for (
      const [said, answer] of [
        ["\\frac12", "0.5"],
        ["１２", "12"],
        ["10{,}000", "10000"],
        ["11,\\! 111,\\! 100", "11111100"],
        ["12\\frac{3}{5}", "12.6"],
        ["6.72 \\times 10^{-5}", ".0000672"],
        ["50\\%", "\\frac{1}{2}"],
        ["50", "50\\%"],
        ["\\$18.90", "18.9"],
        ["1890 cents", "\\$18.90"],
        ["60 minutes", "1 hour"],
        ["5.4", "5.4 \\text{ cents}"],
        ["6x+4y=12", "3x+2y=6"],
        ["30", "30^\\circ"],
        ["12\\pi", "12\\pi \\text{ cm}^2"],
        ["3.1416", "\\pi"],
        ["0.3333", "\\frac13"],
        ["(1, 4.5)", "\\left(1,\\frac{9}{2}\\right)"],
        ["-2, 1", "1,-2"],
        ["x=1 \\text{ or } x=-2", "-2,1"],
        ["1-\\sqrt{19}, 1+\\sqrt{19}", "1 \\pm \\sqrt{19}"],
        ["\\{3,1,2\\}", "\\{1,2,3\\}"],
        ["x > 2", "(2,\\infty)"],
        ["-2 \\le x \\le 7", "x \\in [-2,7]"],
        ["(3,\\infty)\\cup(-\\infty,2)", "(-\\infty, 2) \\cup (3, \\infty)"],
        ["\\begin{bmatrix}0.2\\\\-3.6\\end{bmatrix}", "\\begin{pmatrix} 1/5 \\\\ -18/5 \\end{pmatrix}"],
        ["x<2 \\text{ or } x>3", "(-\\infty,2) \\cup (3,\\infty)"],
        ["1{,}000{,}000", "10^6"],
        ["5", "x=5"],
        ["f(x) = 2x+3", "2x+3"],
        ["-5x + 7y - 11z - 4 = 0", "5x - 7y + 11z + 4 = 0"],
        ["ab+2a+5b+10", "(a+5)(b+2)"],
        ["\\tan^2 y + 1", "\\sec^2 y"],
        ["\\frac{1}{\\sqrt{3}}", "\\frac{\\sqrt{3}}{3}"],
        ["\\binom{5}{2}", "10"],
        ["-1", "e^{i\\pi}"],
        ["East", "\\text{east}"],
        ["C", "\\text{(C)}"]
      ] as const
    ) assert.isTrue(solves(said, answer), `${said} is ${answer}`)
  })

  it("differ when they do not", () => {
    for (
      const [said, answer] of [
        ["9999", "10{,}000"],
        ["3.14", "\\pi"],
        ["0.33", "\\frac13"],
        ["1.4", "\\sqrt{2}"],
        ["0.5", "50"],
        ["(1,2)", "(2,1)"],
        ["[2,3]", "(2,3)"],
        ["x \\ge 2", "(2,\\infty)"],
        ["4t", "4"],
        ["18 cm", "18 m"],
        ["18 feet", "18 hours"],
        ["18 feet", "18 square feet"],
        ["3x+2y=6", "6x+4y=13"],
        ["5 or 6", "5"],
        ["1,2,3,4,5", "5"],
        ["x=6", "x=5"],
        ["y=2x+1", "y=2x"],
        ["x+1", "x-1"],
        ["neve", "even"],
        ["D", "(C)"],
        ["-\\frac12", "\\frac12"],
        ["9007199254740993", "9007199254740992"],
        ["NaN", "0"],
        ["", "0"]
      ] as const
    ) assert.isFalse(solves(said, answer), `${said} is not ${answer}`)
  })

  it("a fraction equals itself in every spelling, and no other", () => {
    const part = fc.integer({ min: -99, max: 99 })
    const below = fc.integer({ min: 1, max: 40 })
    fc.assert(
      fc.property(
        fc.tuple(part, below, part, below).chain(([a, b, c, d]) =>
          fc.tuple(fc.constant(a * d === c * b), written(a, b), written(c, d), written(a, b))
        ),
        ([same, first, second, again]) => {
          assert.strictEqual(solves(first, second), same, `${first} ${second}`)
          assert.isTrue(solves(first, again), `${first} ${again}`)
        }
      ),
      { numRuns: 200 }
    )
  })

  it("a polynomial equals its terms in another order, and not with another coefficient", () => {
    const terms = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 })
    const polynomial = (coefficients: ReadonlyArray<readonly [number, number]>) =>
      coefficients.map(([c, power]) => `${c}x^{${power}}`).join("+")
    fc.assert(
      fc.property(terms, (coefficients) => {
        const pairs = coefficients.map((c, i) => [c, i] as const)
        const [first, ...rest] = pairs
        assert.isTrue(solves(polynomial(pairs.toReversed()), polynomial(pairs)))
        assert.isFalse(solves(polynomial([[first![0] + 1, 0], ...rest]), polynomial(pairs)))
      }),
      { numRuns: 40 }
    )
  })

  it("an answer that cannot be computed is unequal, in time, and the next is compared again", () => {
    for (
      const said of ["9^{9^{9^9}}", "\\sum_{k=1}^{10^{12}} k", `${"(".repeat(400)}x${")".repeat(400)}`, "\\frac{1}{0}"]
    ) {
      assert.isFalse(solves(said, "7"), said)
      assert.isTrue(solves("1+x", "x+1"))
    }
    const before = late()
    assert.isFalse(solves("9^{9^{9^9}}", "\\sqrt{2}"))
    assert.strictEqual(late(), before + 1)
  })

  it("long and malformed completions have a verdict", () => {
    const long = (part: string) => part.repeat(Math.ceil(1e6 / part.length))
    for (
      const part of [
        "{",
        "\\boxed{",
        "}",
        "\\boxed{5}",
        "$",
        "9",
        "9,",
        "1/",
        "#### ",
        "A:\n",
        "answer is ",
        "\ud800",
        "٣"
      ]
    ) {
      assert.isFalse(isSolved(long(part), "x+1", true), part)
    }
  })

  it("says of real solutions what the labels of others say (needs ../shared/data)", ({ skip }) => {
    if (!isHere("math/math_verifier_golden")) return skip("no ../shared/data here")
    const qwen = rowsOf<{ readonly response: string; readonly gt: string; readonly score: boolean }>(
      "math/math_verifier_golden"
    )
    const wrong = qwen.filter(({ gt, response, score }) => isSolved(response, gt, true) !== score)
    assert.isAtLeast(1 - wrong.length / qwen.length, 0.99, JSON.stringify(wrong.map(({ gt }) => gt)))
    const gsm8k = rowsOf<{ readonly solution: string; readonly ground_truth: string; readonly is_correct: boolean }>(
      "math/gsm8k_model_solutions"
    )
    assert.deepStrictEqual(
      gsm8k.filter((row) => isSolved(row.solution, row.ground_truth, false) !== row.is_correct),
      []
    )
  })

  it("GSM8K's and MATH's answers equal themselves and none of another problem (needs ../shared/data)", ({ skip }) => {
    if (!isHere("math/gsm8k_train")) return skip("no ../shared/data here")
    const rows = rowsOf<{ readonly answer: string; readonly final: string }>("math/gsm8k_train")
    for (const { answer, final } of rows) {
      assert.isTrue(isSolved(answer, answer, false), answer)
      assert.isTrue(isSolved(answer, final, false), answer)
    }
    let compared = 0
    for (let i = 0; compared < 10_000; i++) {
      const [a, b] = [rows[i % rows.length]!, rows[(i * 7919 + 1) % rows.length]!]
      if (Number(a.final) === Number(b.final)) continue
      compared++
      assert.isFalse(isSolved(a.answer, b.answer, false), `${a.final} ${b.final}`)
    }
    for (const row of rowsOf<{ readonly solution: string; readonly answer: string }>("math/math500")) {
      assert.isTrue(isSolved(row.solution, row.answer, false), row.answer)
    }
  })
})
