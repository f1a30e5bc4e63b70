/** What the compiler asks of the definition of an operation. */
import { Schema } from "effect"
import { type Definition, Wires } from "keel/stage"
import { describe, expect, test } from "tstyche"
import { define } from "../../dsl/Definition.ts"

class Nova extends Schema.TaggedClass<Nova>()("Nova", { epochs: Schema.Int, keep: Schema.Int }) {}
const wires = {
  init: Wires.model(["Policy"], "a policy"),
  prompts: Wires.data("Prompts", "instructions")
} as const
const rowWires = { prompts: wires.prompts } as const

const said = { op: "Nova", schema: Nova, wires, main: "init", makes: "Policy" } as const
const opens = { trained: ["init"] } as const
const passesOver = "prompts"

describe("a definition", () => {
  test("with all parts is one", () => {
    expect({ ...said, opens, passesOver } as const).type.toBeAssignableTo<Definition<Nova, typeof wires>>()
    expect({ ...said, opens, passesOver } as const).type.toBeAssignableTo<Definition>()
  })

  test("says which of its models it opens", () => {
    expect({ ...said, passesOver } as const).type.not.toBeAssignableTo<Definition<Nova, typeof wires>>()
    const wrong = { ...said, passesOver, opens: { frozen: ["reward"] } } as const
    expect(wrong).type.not.toBeAssignableTo<Definition<Nova, typeof wires>>()
  })

  test("says what it passes over, if it has epochs", () => {
    expect({ ...said, opens } as const).type.not.toBeAssignableTo<Definition<Nova, typeof wires>>()
    expect({ ...said, opens, passesOver: "rows" } as const).type.not.toBeAssignableTo<Definition<Nova, typeof wires>>()
  })

  test("says how many rows it makes, if it makes data", () => {
    const data = { op: "Nova", schema: Nova, wires: rowWires, main: "", makes: "Completions", passesOver } as const
    expect(data).type.not.toBeAssignableTo<Definition<Nova, typeof rowWires>>()
    expect({ ...data, rows: "prompts" } as const).type.toBeAssignableTo<Definition<Nova, typeof rowWires>>()
  })

  test("has rules on typed parameters", () => {
    const rule = ({ keep }: { readonly keep: string }) => [keep]
    expect({ ...said, opens, passesOver, mistakes: rule } as const).type
      .not.toBeAssignableTo<Definition<Nova, typeof wires>>()
  })

  test("of Keel's own is made by `define`, which asks for the same parts and refuses others", () => {
    const parts = { main: "init", makes: "Policy", opens, passesOver } as const
    expect(define).type.toBeCallableWith(Nova, wires, parts)
    expect(define(Nova, wires, parts)).type.toBeAssignableTo<Definition<Nova, typeof wires>>()
    const { opens: _, ...closed } = parts
    expect(define).type.not.toBeCallableWith(Nova, wires, closed)
    const { passesOver: __, ...none } = parts
    expect(define).type.not.toBeCallableWith(Nova, wires, none)
    expect(define).type.not.toBeCallableWith(Nova, wires, { ...parts, main: "reward" } as const)
    expect(define).type.not.toBeCallableWith(Nova, wires, { ...parts, mistake: () => [] })
    expect(define).type.not.toBeCallableWith(Nova, wires, {
      ...parts,
      mistakes: ({ keep }: { readonly keep: string }) => [keep]
    })
  })
})
