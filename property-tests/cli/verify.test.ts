import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { python } from "../../src/sandbox/interpreters.ts"
import { isolated } from "../../src/sandbox/sandbox.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel } from "./keel.ts"

const folder = folders("verify")
const works = await Effect.runPromise(
  Effect.match(Effect.andThen(isolated, python), { onSuccess: () => true, onFailure: () => false })
)

const written = (rows: ReadonlyArray<object>): string => {
  const at = folder()
  mkdirSync(at, { recursive: true })
  writeFileSync(join(at, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return at
}

describe("keel verify", () => {
  it("gives a verdict a row, and the agreement with the file's own", async () => {
    const at = written([
      { prompt: "3 + 4?", completion: "So it is 7.\n#### 7", answer: "3 + 4 = 7\n#### 7", right: true },
      { prompt: "3 + 5?", completion: "The answer is 8.0", answer: "8", right: false },
      { prompt: "3 + 6?", completion: "8", answer: "9", right: false }
    ])
    const asGsm8k = ["verify", "rows.jsonl", "--as", "gsm8k", "--field", "verdict=right"]
    const [text, json] = await Promise.all([keel(asGsm8k, at), keel([...asGsm8k, "--json"], at)])
    assert.strictEqual(text.code, 0, text.stderr)
    assert.include(text.stdout, "rows.jsonl: 3 rows by gsm8k, 2 pass (66.67 %)")
    assert.include(text.stdout, 'agreement with the column "right": 2 of 3 (66.67 %)\n  row 2: true here, false there')
    assert.strictEqual(json.stdout, '{"verdict":true}\n{"verdict":true}\n{"verdict":false}\n')
    assert.include(json.stderr, "agreement")
  })

  it("reads IFEval's columns and says what it followed, and which rows can never pass", async () => {
    const instruction_id_list = ["punctuation:no_comma", "startend:quotation"]
    const at = written([
      { response: '*"a b"*', instruction_id_list, kwargs: [{}, {}], strict: [true, false], loose: [true, true] },
      { response: "a", instruction_id_list: ["length_constraints:number_words"], kwargs: [{}] }
    ])
    const { code, stderr, stdout } = await keel(
      ["verify", "rows.jsonl", "--as", "ifeval", "--field", "completion=response", "--json"],
      at
    )
    assert.strictEqual(code, 0, stderr)
    const rows = stdout.trim().split("\n").map((line) => JSON.parse(line))
    assert.deepStrictEqual(rows[0], { verdict: false, strict: [true, false], loose: [true, true] })
    assert.strictEqual(rows[1].verdict, false)
    assert.match(rows[1].problem, /length_constraints:number_words needs relation/u)
    assert.include(stderr, 'agreement with the column "loose": 2 of 2 (100.00 %)')
    assert.include(stderr, "1 of 2 can never pass; the first: row 2 has an instruction that cannot be checked")
  })

  it.skipIf(!works)("says why code fails, a row at a time and in sum", async () => {
    const test_list = ["assert f(2) == 4"]
    const completions = [
      "def f(x): return x * x",
      "def f(x): return x",
      "def f(x): return y",
      "f = 1 +",
      "def f(x): return 3"
    ]
    const at = written(completions.map((completion) => ({ prompt: "", completion, test_list })))
    const { code, stderr, stdout } = await keel(["verify", "rows.jsonl", "--as", "code", "--json"], at)
    assert.strictEqual(code, 0, stderr)
    const reasons = stdout.trim().split("\n").map((line) => JSON.parse(line).reason?.split(":")[0])
    assert.deepStrictEqual(reasons, [undefined, "AssertionError", "NameError", "SyntaxError", "AssertionError"])
    assert.include(stderr, "  2 failed by AssertionError\n  1 failed by NameError\n  1 failed by SyntaxError")
  })

  it("says what is wrong with a verifier, its parameters, a column and a row", async () => {
    const at = written([{ prompt: "a", text: "b" }])
    const said = await Promise.all(
      [
        ["--as", "maths"],
        ["--as", "finalAnswer"],
        ["--as", "mathematics", "--params", '{"guess": 3}'],
        ["--as", "mathematics", "--field", "completion"],
        ["--as", "mathematics"]
      ].map((args) => keel(["verify", "rows.jsonl", ...args], at))
    )
    for (const { code, stdout } of said) assert.deepStrictEqual([code, stdout], [1, ""])
    const [name, missing, params, field, row] = said.map(({ stderr }) => stderr)
    assert.include(name, "maths: is no verifier. Give one of gsm8k, math, ifeval, code, finalAnswer")
    assert.match(missing!, /finalAnswer: .*marker.*--params/u)
    assert.match(params!, /guess: Expected boolean/u)
    assert.include(field, "--field completion: is no column")
    assert.include(row, 'rows.jsonl:1: no text in the column "completion"; the row has prompt, text.')
  })
})
