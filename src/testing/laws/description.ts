/** Laws of descriptions: they hold for any pipeline that the constructors can make. */
import * as Result from "effect/Result"
import fc from "fast-check"
import assert from "node:assert/strict"
import * as Artifact from "../../../dsl/Artifact.ts"
import type { Definition } from "../../../dsl/Definition.ts"
import * as Pipeline from "../../../dsl/Pipeline.ts"
import * as Render from "../../../dsl/Render.ts"
import { problems } from "../../interpreters/check.ts"
import type { Drawn } from "../pipelines/pipelines.ts"

export interface DescriptionOptions extends fc.Parameters<[Drawn]> {
  readonly definitions?: ReadonlyArray<Definition>
}

/** Tests `law` on any pipeline, its JSON, and the reader of JSON. */
const forAll = (
  drawn: fc.Arbitrary<Drawn>,
  { definitions = [], ...parameters }: DescriptionOptions,
  law: (root: Artifact.Any, json: string, read: (json: string) => Artifact.Any) => void
): void =>
  fc.assert(
    fc.property(drawn, ({ root }) => {
      law(root, Pipeline.toJson(root), (json) => Result.getOrThrow(Pipeline.fromJson(json, definitions)))
    }),
    parameters
  )

/** The same value with the keys of every object in reverse order. */
const backwards = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(backwards)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).reverse().map(([key, of]) => [key, backwards(of)]))
}

/** A pipeline read back from JSON is the same: bytes, identity, every node, and its printed form. */
export const jsonRoundTrip = (drawn: fc.Arbitrary<Drawn>, options: DescriptionOptions = {}): void =>
  forAll(drawn, options, (root, json, read) => {
    const back = read(json)
    assert.equal(Pipeline.toJson(back), json)
    assert.equal(back.id, root.id)
    const nodes = (of: Artifact.Any) =>
      Artifact.lineage(of).map(({ id, node: { family, kind, op, params } }) => ({ id, family, kind, op, params }))
    assert.deepEqual(nodes(back), nodes(root))
    assert.equal(Render.text(back), Render.text(root))
    assert.equal(Render.mermaid(back), Render.mermaid(root))
  })

/** Equal descriptions hash equally in any order of their keys; different descriptions hash differently. */
export const identity = (drawn: fc.Arbitrary<Drawn>, options: DescriptionOptions = {}): void =>
  forAll(drawn, options, (root, json, read) => {
    assert.equal(read(JSON.stringify(backwards(JSON.parse(json)))).id, root.id)
    const ids = new Map<string, string>()
    for (const { id, node } of Artifact.lineage(root)) {
      const wires = Object.fromEntries(Object.entries(node.wires).map(([wire, of]) => [wire, of.id]))
      ids.set(JSON.stringify([node.op, node.params, wires]), id)
    }
    assert.equal(ids.size, new Set(ids.values()).size, "two descriptions share an id, or one description has two ids")
    assert.equal(ids.size, Artifact.lineage(root).length, "a description occurs twice")
  })

/** `check` finds no mistake. */
export const wellTyped = (drawn: fc.Arbitrary<Drawn>, parameters: fc.Parameters<[Drawn]> = {}): void =>
  fc.assert(fc.property(drawn, ({ root }) => assert.deepEqual(problems(root), [])), parameters)
