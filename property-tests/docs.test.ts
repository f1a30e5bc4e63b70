/**
 * The examples in the documentation run: every ```ts fence of a docstring in dsl and src, and of README.md, that says what a
 * line is worth (`expression // => value`, or `const name = expression // => value`) is executed and held to it.
 *
 * An import stands in a fence as one would write it in a folder of the repository ("../dsl/Kl.ts"), in README.md as in the
 * repository's root ("./dsl/Kl.ts").
 */
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { assert, describe, it } from "vitest"

const repository = fileURLToPath(new URL("../", import.meta.url))

interface Fence {
  readonly file: string
  /** Line of the file on which the fence opens, from 1. */
  readonly line: number
  readonly code: ReadonlyArray<string>
}

/** The ts fences of a text, without the stars of a docstring. */
const fencesIn = (file: string, text: string): ReadonlyArray<Fence> => {
  const found: Array<Fence> = []
  let open: { readonly line: number; readonly code: Array<string> } | undefined
  for (const [i, raw] of text.split("\n").entries()) {
    const line = file.endsWith(".ts") ? raw.replace(/^\s*\* ?/, "") : raw
    if (open === undefined && /^\s*```ts\s*$/.test(line)) open = { line: i + 1, code: [] }
    else if (open !== undefined && /^\s*```\s*$/.test(line)) {
      found.push({ file, ...open })
      open = undefined
    } else open?.code.push(line)
  }
  assert(open === undefined, `${file}:${open?.line}: a fence that never ends`)
  return found
}

const claim = /^(\s*)(?:const (\w+) = )?(.*?);?\s*\/\/ => (.+)$/

/** The fence as a module that calls `is(actual, expected, line)` for every claim, and how many it makes. */
const moduleOf = ({ code, line }: Fence): { readonly text: string; readonly claims: number } => {
  let claims = 0
  const lines = code.map((one, i) => {
    const [, indent, name, expression, value] = claim.exec(one) ?? []
    if (value === undefined) return one
    claims++
    const where = line + i + 1
    return name === undefined
      ? `${indent}globalThis.keelDocs(${expression}, ${value}, ${where})`
      : `${indent}const ${name} = ${expression}; globalThis.keelDocs(${name}, ${value}, ${where})`
  })
  return { text: lines.join("\n"), claims }
}

interface Checked {
  readonly actual: unknown
  readonly expected: unknown
  readonly line: number
}

let runs = 0

const run = async (fence: Fence): Promise<ReadonlyArray<Checked>> => {
  const seen: Array<Checked> = []
  const folder = fence.file.endsWith(".md") ? repository : join(repository, "property-tests")
  const file = join(folder, `.docs-${process.pid}-${runs++}.ts`)
  const shared = globalThis as { keelDocs?: (actual: unknown, expected: unknown, line: number) => void }
  shared.keelDocs = (actual, expected, line) => void seen.push({ actual, expected, line })
  try {
    writeFileSync(file, moduleOf(fence).text)
    await import(/* @vite-ignore */ pathToFileURL(file).href)
  } finally {
    rmSync(file, { force: true })
    delete shared.keelDocs
  }
  return seen
}

const files = [...globSync("{dsl,src}/**/*.ts", { cwd: repository }), "README.md"]
const fences = files.filter((file) => existsSync(join(repository, file)))
  .flatMap((file) => fencesIn(file, readFileSync(join(repository, file), "utf8")))
  .filter((fence) => moduleOf(fence).claims > 0)

describe("examples in the documentation", () => {
  it("are found", () => assert.isTrue(fences.some(({ file }) => file === "dsl/Kl.ts")))

  for (const fence of fences) {
    it(`${fence.file}:${fence.line}`, async () => {
      const seen = await run(fence)
      assert.lengthOf(seen, moduleOf(fence).claims)
      for (const { actual, expected, line } of seen) assert.deepStrictEqual(actual, expected, `${fence.file}:${line}`)
    })
  }

  it("that are wrong would fail", async () => {
    const [fence] = fencesIn("x.ts", " * ```ts\n * const two = 1 + 1 // => 3\n * ({ a: [1] }) // => { a: [1] }\n * ```")
    assert.deepStrictEqual(await run(fence!), [
      { actual: 2, expected: 3, line: 2 },
      { actual: { a: [1] }, expected: { a: [1] }, line: 3 }
    ])
  })
})
