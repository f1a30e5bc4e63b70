/**
 * Which of the 50 invariant groups have a test that carries their number (`invariant 13: …`). One that has a test today must not lose
 * it; UPDATE_GOLDEN=1 takes in those that are new.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "vitest"
import { golden } from "./cli/keel.ts"

const folder = fileURLToPath(new URL("./", import.meta.url))

/** Numbers in the names of tests, with the files that hold them. */
const held = new Map<number, Set<string>>()
for (const file of globSync("**/*.test.ts", { cwd: folder })) {
  const text = readFileSync(join(folder, file), "utf8")
  for (const [, numbers] of text.matchAll(/["'`]invariants? (\d+(?:, \d+)*): /gu)) {
    for (const number of numbers!.split(", ").map(Number)) held.set(number, (held.get(number) ?? new Set()).add(file))
  }
}

const all = Array.from({ length: 50 }, (_, i) => i + 1)

it("every invariant that had a test has one", () => {
  const before = process.env["UPDATE_GOLDEN"] === "1"
    ? []
    : readFileSync(join(folder, "golden/invariants.txt"), "utf8").trim().split(" ").map(Number)
  assert.deepStrictEqual(before.filter((number) => !held.has(number)), [])
  if (before.length === 0) golden("invariants.txt", `${all.filter((number) => held.has(number)).join(" ")}\n`)
  const without = all.filter((number) => !held.has(number))
  if (without.length > 0) console.log(`invariants without a test of their number: ${without.join(", ")}`)
})

it("no test carries a number that is none", () => {
  assert.deepStrictEqual([...held.keys()].filter((number) => !all.includes(number)), [])
})
