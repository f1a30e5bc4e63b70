/** No import goes round: between files of dsl and src, and between the rooms of src; imports of types alone count, too. */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const repository = fileURLToPath(new URL("../", import.meta.url))

const files = ["dsl", "src"].flatMap((folder) =>
  readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.[jt]s$/u.test(name)).map((name) => join(folder, name))
)

/** What a file imports of dsl and src. */
const importsOf = (file: string): ReadonlyArray<string> => {
  const code = readFileSync(join(repository, file), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gmu, "")
  return [...code.matchAll(/(?:from|import|import\()\s*"(\.[^"]+)"/gu)].map(([, to]) => join(dirname(file), to!))
}

const arrows = files.flatMap((from) =>
  importsOf(from).filter((to) => files.includes(to)).map((to) => [from, to] as const)
)

/** What is left after whatever nothing left imports is taken away, again and again, and whatever imports nothing left. */
const circles = (arrows: ReadonlyArray<readonly [from: string, to: string]>): ReadonlyArray<string> => {
  const left = arrows.filter(([from, to]) => arrows.some(([of]) => of === to) && arrows.some(([, of]) => of === from))
  return left.length === arrows.length ? left.map(([from, to]) => `${from} → ${to}`) : circles(left)
}

describe("imports", () => {
  it("of files go round nowhere", () => {
    assert.isAbove(arrows.length, 2000)
    assert.deepStrictEqual(circles(arrows), [])
  })

  it("of rooms go round nowhere", () => {
    const roomOf = (file: string): string => file.split("/").slice(0, file.startsWith("src") ? 2 : 1).join("/")
    const rooms = new Map(
      arrows.map(([from, to]) => [`${roomOf(from)} ${roomOf(to)}`, [roomOf(from), roomOf(to)] as const])
    )
    assert.deepStrictEqual(circles([...rooms.values()].filter(([from, to]) => from !== to)), [])
  })

  it("that go round are found", () => {
    assert.deepStrictEqual(circles([["a", "b"], ["b", "c"], ["c", "b"], ["c", "d"]]), ["b → c", "c → b"])
  })
})
