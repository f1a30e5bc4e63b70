import * as Effect from "effect/Effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Verifier } from "../../dsl/index.ts"
import { credited, lastBlock, suiteOf } from "../../src/rewards/code/suite.ts"
import { codeTested, codeVerdicts } from "../../src/rewards/code/verdict.ts"
import { unreachable } from "../../src/rewards/verifier.ts"
import { isolated } from "../../src/sandbox/sandbox.ts"
import { python as pythonHere } from "../../src/sandbox/interpreters.ts"
import { javascript, type Problem, python } from "./code.ts"

const can = (what: Effect.Effect<unknown, unknown>): Promise<boolean> =>
  Effect.runPromise(Effect.match(what, { onSuccess: () => true, onFailure: () => false }))
const [works, hasPython] = [await can(isolated), await can(pythonHere)]

interface Row extends Pick<Problem, "prompt" | "columns"> {
  readonly completion: string
}

const scores = (verifier: Verifier.Code, rows: ReadonlyArray<Row>) =>
  Effect.runPromise(codeVerdicts("test", verifier, rows.map((row, i) => ({ ...row, row: i + 1 }))))

const agree = async (problems: ReadonlyArray<Problem>): Promise<void> => {
  const rows = problems.flatMap(({ columns, prompt, right, wrong }) =>
    [...right, ...wrong].map((completion, i) => ({ prompt, columns, completion, expected: Number(i < right.length) }))
  )
  const found = await scores(Verifier.code(), rows)
  assert.deepEqual(
    rows.filter(({ expected }, i) => found[i] !== expected).map(({ completion, expected }) => ({
      completion,
      expected
    })),
    []
  )
}

describe.skipIf(!works)("verdicts on code", () => {
  it.skipIf(!hasPython)("problems of Python", { timeout: 120_000 }, () => agree(python))
  it("problems of JavaScript and TypeScript", { timeout: 120_000 }, () => agree(javascript))

  it.skipIf(!hasPython)(
    "credit: the share of passed tests, and groups by difficulty",
    { timeout: 60_000 },
    async () => {
      const completion = "def f(x): return [0, 1, 4, 9, 0][x]"
      const lists = {
        test_list: [0, 1, 2, 3, 4].map((x) => `assert f(${x}) == ${x * x}`),
        test_difficulty: [1, 1, 2, 3, 3]
      }
      const text = {
        test: `def check(candidate):\n${
          [0, 1, 2, 3, 4].map((x) => `    assert candidate(${x}) == ${x * x}`).join("\n")
        }`,
        entry_point: "f"
      }
      const hangs = { prompt: "", columns: text, completion: "def f(x):\n    while x == 2: pass\n    return x * x" }
      const row: Row = { prompt: "", completion, columns: lists }
      const of = (credit: Verifier.Code["credit"], given: Row) => scores(Verifier.code({ credit, seconds: 1 }), [given])
      assert.deepEqual(await of("share", row), [4 / 5])
      assert.deepEqual(await of("share", { ...row, columns: text }), [4 / 5])
      assert.deepEqual(await of("share", hangs), [2 / 5])
      assert.deepEqual(await of("strict", row), [2 / 3])
      assert.deepEqual(await of("soft", row), [(1 + 1 + 1 / 2) / 3])
    }
  )

  it.skipIf(!hasPython)(
    "the same answer twice, of a program that depends on the order of a set",
    { timeout: 60_000 },
    async () => {
      const row = {
        prompt: "",
        completion: "def f(): return list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})[0]",
        columns: { test_list: ["assert f() < 'd'"] }
      }
      const found = await scores(Verifier.code(), Array.from({ length: 8 }, () => row))
      assert.equal(new Set(found).size, 1)
    }
  )
})

describe.skipIf(!works || !hasPython)("functions by their name, as APPS has them", () => {
  const told = (of: object, completion: string): Row => ({
    prompt: "",
    columns: { input_output: JSON.stringify({ fn_name: "pair", ...of }) },
    completion
  })
  const [plain, wrapped, lines] = [
    { inputs: [[1, 2], [3, 3]], outputs: [[2, 1], [3, 3]] },
    { inputs: [[1, 2], [3, 3]], outputs: [[[2, 1]], [[3, 3]]] },
    { inputs: ["1\n2", "3\n3"], outputs: ["[2, 1]", "[3, 3]"] }
  ]
  const [right, method] = [
    "def pair(a, b): return (b, a)",
    "class Solution:\n    def pair(self, a, b):\n        return [b, a]"
  ]

  it("are called with their arguments, and the first failure has its reason", { timeout: 60_000 }, async () => {
    const rows = [plain, wrapped, lines].flatMap((of) => [right, method].map((code) => told(of, code)))
    assert.deepEqual(await scores(Verifier.code(), rows), rows.map(() => 1))
    const wrong = [
      told(plain, "def pair(a, b): return (a, b)"),
      told(plain, "def other(a, b): return (b, a)"),
      told(plain, "def pair(a, b):\n    while a == 3: pass\n    return b, a"),
      { prompt: "", columns: { inputs: ["1"], outputs: ["2"] }, completion: "print(1)" }
    ]
    const found = await Effect.runPromise(
      codeTested(
        "test",
        Verifier.code({ seconds: 1, credit: "share" }),
        wrong.map((row, i) => ({ ...row, row: i + 1 }))
      )
    )
    assert.deepEqual(found.map(({ reason }) => reason?.split(":", 1)[0]), [
      "AssertionError",
      "NameError",
      "too much time or memory",
      "another output"
    ])
    assert.deepEqual(found.map(({ score }) => score), [0.5, 0, 0.5, 0])
  })

  it("are no tests of another language, nor without arguments", () => {
    assert.isNull(suiteOf({ input_output: { fn_name: "f", ...plain } }, "javascript"))
    assert.isNull(suiteOf({ input_output: { fn_name: "f(", ...plain } }))
    assert.isNull(suiteOf({ input_output: { fn_name: "f", inputs: ["1 2"], outputs: ["3"] } }))
  })
})

describe("the tests of a row", () => {
  it("strict credit is at most soft credit, which is 1 only if all tests pass", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 9 }), (tests) => {
      const [passed, levels] = [tests.map(([one]) => one), tests.map(([, level]) => level)]
      const [all, soft, strict] = (["all", "soft", "strict"] as const).map((credit) => credited(credit, passed, levels))
      assert.isAtMost(strict!, soft!)
      assert.equal(all === 1, Math.abs(soft! - 1) < 1e-12)
      assert.equal(all === 1, strict === 1)
      // A harder group gives nothing to strict credit without the easier groups.
      const easiest = Math.min(...levels)
      if (passed.some((one, i) => !one && levels[i] === easiest)) assert.equal(strict, 0)
    }))
  })

  it("the last fenced block, also without its end", () => {
    assert.equal(lastBlock("a"), null)
    assert.equal(lastBlock("```python\na\n```\nthen\n~~~\nb\n~~~\n"), "b\n")
    assert.equal(lastBlock("````md\n```\na\n```\n````"), "```\na\n```\n")
    assert.equal(lastBlock("```js\nconst a = `x`\nconst b"), "const a = `x`\nconst b\n")
    fc.assert(fc.property(fc.string(), (text) => {
      const block = lastBlock(`${text}\n\n\`\`\`\`\`\`\`\`py\n1\n\`\`\`\`\`\`\`\``)
      assert.include(block!, "1\n")
    }))
  })

  it("are found in any of the columns, and a row without them can never pass", () => {
    assert.equal(suiteOf({ test_cases: [{ input: "1", output: "2" }] })?.kind, "pairs")
    assert.equal(suiteOf({ tests: '{"inputs": [["1", "2"]], "outputs": ["3"]}' })?.kind, "pairs")
    assert.equal(suiteOf({ test_list: ["assert f()"] })?.kind, "unit")
    const row = (columns: Problem["columns"]) => ({ prompt: "", columns })
    assert.include(unreachable(Verifier.code(), row({}))!.problem, "has no tests")
    assert.include(unreachable(Verifier.code(), row({ test: "x", language: "rust" }))!.problem, '"rust"')
    assert.include(
      unreachable(Verifier.code({ credit: "soft" }), row({ test_list: ["a"] }))!.problem,
      "test_difficulty"
    )
    assert.isNull(unreachable(Verifier.code({ credit: "soft" }), row({ test_list: ["a"], test_difficulty: [1] })))
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("test", "tests", "inputs", "outputs", "test_list"), fc.jsonValue()),
        (columns) => {
          suiteOf(columns as Problem["columns"])
        }
      )
    )
  })
})
