/**
 * Plain English, measured: in texts for people, nouns stand where "what", "those", "ones", "nobody" and "nothing" would. Bounds are
 * occurrences per 1,000 words of docstrings or of a document's prose; well-liked libraries lie between 0 and 3.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const repository = fileURLToPath(new URL("../", import.meta.url))
const read = (file: string): string => readFileSync(join(repository, file), "utf8")

/** The folders whose docstrings are held to the bounds. */
const folders = [
  "bench",
  "cli",
  "data",
  "doctor",
  "engine",
  "evaluation",
  "interpreters",
  "ledger",
  "losses",
  "model",
  "optim",
  "outside",
  "planning",
  "program",
  "report",
  "rewards",
  "stages",
  "store",
  "tensor/counting",
  "testing",
  "training"
]
const documents = ["README.md", "CONTRIBUTING.md"]

const bounds = [
  { words: /\bwhat\b/giu, most: 2 },
  { words: /\b(?:those|ones)\b/giu, most: 2 },
  { words: /\b(?:nobody|nothing)\b/giu, most: 1.5 }
] as const

const docstrings = (code: string): string =>
  (code.match(/\/\*\*[\s\S]*?\*\//gu) ?? []).join("\n").replace(/^\s*\*/gmu, " ")
const prose = (markdown: string): string => markdown.replace(/```[\s\S]*?```|`[^`\n]*`/gu, " ")

const texts: Readonly<Record<string, string>> = {
  [`docstrings of src/{${folders.join()}}`]: docstrings(
    globSync(`src/{${folders.join()}}/**/*.ts`, { cwd: repository }).map(read).join("\n")
  ),
  "docstrings of dsl": docstrings(globSync("dsl/**/*.ts", { cwd: repository }).map(read).join("\n")),
  ...Object.fromEntries(documents.map((file) => [file, prose(read(file))]))
}

describe.each(Object.entries(texts))("%s", (_, text) => {
  it.each(bounds)("$words at most $most times in 1,000 words", ({ most, words }) => {
    const all = text.match(/\p{L}[\p{L}’'-]*/gu)!.length
    assert.isAtMost((text.match(words) ?? []).length * 1000 / all, most)
  })
})

it.each([...documents, "LOG.md"])("lines of %s have at most 140 characters", (file) => {
  assert.deepStrictEqual(read(file).split("\n").filter((line) => line.length > 140), [])
})
