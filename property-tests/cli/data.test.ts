/** `keel data`: what is in a file. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Effect } from "effect"
import { dataset } from "../../src/program/dataset.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel } from "./keel.ts"

const folder = folders("keel-data")
const file = (name: string, rows: ReadonlyArray<unknown>): string => {
  const path = join(at, name)
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return path
}
const at = folder()
mkdirSync(at, { recursive: true })

describe("a file of data", () => {
  const rows = {
    Text: { text: "once upon a time" },
    Prompts: { prompt: "a question", answer: "3" },
    Demonstrations: { instruction: "say a", input: "", output: "a" },
    Preferences: { prompt: "p", chosen: "a b", rejected: "c", score_chosen: 2, score_rejected: 1 },
    Rankings: { prompt: "p", completions: ["a", "b"], scores: [2, 1] },
    UnpairedPreferences: { prompt: "p", completion: "a", label: true },
    Stepwise: { prompt: "p", completions: ["a", "b"], labels: [true, false] }
  } as const

  it.each(Object.entries(rows))("of %s is recognised", async (role, row) => {
    const found = await Effect.runPromise(dataset(file(`${role}.jsonl`, [row, row])))
    assert.deepStrictEqual([found.role, found.rows, found.duplicates?.rows], [role as never, 2, 1])
  })

  it("is told in columns, lengths, duplicates and what it shares with another", async () => {
    const words = "how many apples does the farmer have in his large basket now"
    const path = file("a.jsonl", [
      { question: words, answer: 3 },
      { question: `${words}.`, answer: "3" },
      { question: "another question entirely", answer: null },
      { question: 4 }
    ])
    const held = file("held.jsonl", [{ prompt: `tell me ${words} please` }])
    const picture = join(at, "a.svg")
    const { code, stderr, stdout } = await keel(
      ["data", path, "--field", "prompt=question", "--against", held, "--picture", picture],
      at
    )
    assert.strictEqual(code, 0, stderr)
    assert.match(stdout, /a\.jsonl: 4 rows/u)
    assert.match(stdout, /\| question \| 3 string, 1 number \|/u)
    assert.match(stdout, /\| answer {3}\| 1 number, 1 string \|/u)
    assert.match(stdout, /The rows are prompts/u)
    assert.match(stdout, /1 bad row left out; first .*a\.jsonl:4: /u)
    assert.match(stdout, /\| prompts \| 3 +\| 9\.0 /u)
    assert.match(stdout, /Repeated: 0 rows, 0 prompts; 1 more rows are nearly another/u)
    assert.match(stdout, /the prompts of 2 rows, a run of 8 words/u)
    assert.match(readFileSync(picture, "utf8"), /^<svg/u)
    const json = await keel(["data", path, "--field", "prompt=question", "--json"], at)
    assert.strictEqual(JSON.parse(json.stdout).role, "Prompts")
  })

  it("without a role says how to name the columns, and mistakes are a line", async () => {
    const none = await keel(["data", file("none.jsonl", [{ a: 1 }]), "--picture", join(at, "none.svg")], at)
    assert.match(none.stderr, /none\.svg is not drawn: without a role/u)
    assert.match(none.stdout, /No role was recognised: name the columns, e\.g\. --field prompt=question\./u)
    const nowhere = await keel(["data", join(at, "nowhere.jsonl")], at)
    assert.deepStrictEqual([nowhere.code, nowhere.stdout], [1, ""])
    assert.match(nowhere.stderr, /BadData: .*nowhere\.jsonl: no such file/u)
    const wrong = await keel(["data", file("b.jsonl", [{ text: "a" }]), "--field", "prompt"], at)
    assert.match(wrong.stderr, /it is not NAME=COLUMN/u)
  })
})
