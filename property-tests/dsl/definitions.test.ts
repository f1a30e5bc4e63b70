/** What the definitions of Keel's operations say is complete, and of wires that they have. */
import * as Schema from "effect/Schema"
import { assert, describe, it } from "vitest"
import { modelKinds } from "../../dsl/Artifact.ts"
import { type Definition, trains } from "../../dsl/Definition.ts"
import * as Keel from "../../dsl/index.ts"
import { definitions } from "../../dsl/Stage.ts"

const all: ReadonlyArray<Definition> = Object.values(definitions)

/** Results whose kind or family depends on the use of the operation. */
const either = new Set(["Input", "Cap", "Merge", "Reward"])

const makesModel = ({ makes, op }: Definition): boolean =>
  either.has(op) || typeof makes === "string" && modelKinds.includes(makes)

describe.each(all.map((definition) => [definition.op, definition] as const))("%s", (op, definition) => {
  const { candidates, judges = {}, main, opens, parent, passesOver, rows, schema, wires } = definition
  const models = Object.keys(wires).filter((wire) => wires[wire]!.model)

  it("has a name that is its key, and its schema's", () => {
    assert.strictEqual(definitions[op as keyof typeof definitions] as Definition, definition)
    assert.strictEqual(Schema.Struct({ _tag: schema.fields["_tag"] as Schema.tag<string> }).make({})._tag, op)
  })

  it("speaks of wires that it has", () => {
    const named = [
      ...main === "" ? [] : [main],
      ...parent === undefined ? [] : [parent],
      ...opens?.trained ?? [],
      ...opens?.frozen ?? [],
      ...[passesOver, rows, candidates].filter((one) => typeof one === "string"),
      ...Object.keys(judges),
      ...Object.values(judges).flatMap((models) => models ?? []).filter((wire) => wire !== "models")
    ]
    assert.includeMembers(Object.keys(wires), named)
    assert.includeMembers(models, [...opens?.trained ?? [], ...opens?.frozen ?? []])
  })

  it("says which of its models it opens, what it passes over, and how many rows it makes", () => {
    if (models.length > 0) assert.isDefined(opens)
    if ("epochs" in schema.fields) assert.isDefined(passesOver)
    if (!makesModel(definition) && !["Evaluation", "Outputs"].includes(definition.makes as string)) {
      assert.isDefined(rows)
    }
  })

  it("trains the model that it starts from, if it trains", () => {
    if (trains(definition)) {
      assert.deepStrictEqual(opens?.trained?.slice(0, 1), parent === undefined ? undefined : [parent])
    } else assert.isUndefined(opens?.trained)
  })

  it("is exported by its name", () => {
    if (!["Input", "Cap", "Outputs"].includes(op)) assert.strictEqual((Keel as any)[op].definition, definition)
  })
})
