import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Render from "../../dsl/Render.ts"
import example from "../../examples/01-instruct-gpt.ts"

/** Compares with `property-tests/golden/NAME`; `UPDATE_GOLDEN=1` writes it instead. */
const golden = (name: string, text: string): void => {
  const file = new URL(`../golden/${name}`, import.meta.url)
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text)
  assert(
    existsSync(file),
    `there is no golden file ${name}: make it with UPDATE_GOLDEN=1 npx vitest run property-tests/dsl`
  )
  assert.strictEqual(text, readFileSync(file, "utf8"), `${name} differs; if that is wanted: UPDATE_GOLDEN=1`)
}

describe("the InstructGPT example", () => {
  it("as text", () => golden("01-instruct-gpt.txt", `${Render.text(example)}\n`))

  it("as a Mermaid flowchart", () => golden("01-instruct-gpt.mmd", `${Render.mermaid(example)}\n`))

  it("as JSON", () => golden("01-instruct-gpt.json", `${Pipeline.toJson(example)}\n`))

  it("text has every node and every wire, and no line longer than 120", () => {
    const lines = Render.text(example).split("\n")
    for (const artifact of Artifact.lineage(example)) {
      const line = lines.find((line) => line.startsWith(Render.label(artifact)))
      assert(line !== undefined)
      for (const [wire, of] of Object.entries(artifact.node.wires)) assert.include(line, `${wire}: ${Render.label(of)}`)
    }
    for (const line of lines.filter((line) => line.startsWith(" "))) assert.isAtMost(line.length, 120)
  })

  it("the flowchart has one box a node and one arrow a wire", () => {
    const nodes = Artifact.lineage(example)
    const lines = Render.mermaid(example).split("\n")
    assert.strictEqual(lines[0], "flowchart LR")
    assert.strictEqual(
      lines.filter((line) => line.includes(" --> ")).length,
      nodes.flatMap(({ node }) => Object.keys(node.wires)).length
    )
    assert.strictEqual(lines.filter((line) => !line.includes(" --> ")).length, 1 + nodes.length)
  })
})
