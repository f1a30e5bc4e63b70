import { Result, type Schema } from "effect"
import { assert, describe, it } from "vitest"
import { Artifact, Pipeline } from "../../dsl/index.ts"
import { mermaid, text } from "../../dsl/Render.ts"
import { problems } from "../../src/interpreters/check.ts"
import recipe from "../cli/recipe.ts"

const root: Artifact.Any = recipe

/** The path of every parameter and of every place inside of one. */
const paths = (value: unknown, path: string): ReadonlyArray<string> =>
  typeof value === "object" && value !== null
    ? [path, ...Object.entries(value).flatMap(([key, inner]) => paths(inner, `${path}.${key}`))]
    : [path]

const values: ReadonlyArray<Schema.Json> = [null, true, -1, 0.5, 1e308, "", "\ud800", [], {}, [[null]], { toString: 1 }]

describe("a parameter of another type", () => {
  const all = new Set(
    Artifact.lineage(root).flatMap(({ node }) =>
      Object.entries(node.params as object).flatMap(([name, value]) => paths(value, `${node.op.toLowerCase()}.${name}`))
    )
  )

  it.each([...all, "cap.total", "cap.klP95", "cap.klMax"])("is a mistake or none: %s", (path) => {
    for (const value of values) {
      const changed = Result.getOrThrow(Pipeline.set(root, path, value))
      assert.isArray(problems(changed))
      assert.isString(Pipeline.toJson(changed) + text(changed) + mermaid(changed))
    }
  })
})
