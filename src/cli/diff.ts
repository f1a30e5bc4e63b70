import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import type * as Artifact from "../../dsl/Artifact.ts"
import { differences } from "../interpreters/difference.ts"
import { json } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

const text = ({ added, changed, removed }: ReturnType<typeof differences>): string => {
  const lines = [
    ...changed.flatMap(({ changes, name }) => [name, ...changes.map((change) => `  ${change}`)]),
    ...removed.map((name) => `only in the first: ${name}`),
    ...added.map((name) => `only in the second: ${name}`)
  ]
  return lines.length === 0 ? "They are the same." : lines.join("\n")
}

const place = (name: string) =>
  Argument.String(name).pipe(Argument.withDescription("A pipeline file, a .json description, or a recipe by its name"))

export const diff = Command.make(
  "diff",
  { first: place("first"), second: place("second"), json },
  Effect.fn(function*({ first, json, second }) {
    const [a, b]: ReadonlyArray<Artifact.Any> = [(yield* pipelineOf(first)).root, (yield* pipelineOf(second)).root]
    const found = differences(a!, b!)
    yield* Console.log(json ? JSON.stringify(found) : text(found))
  })
).pipe(Command.withDescription("Say in words how two pipelines or recipes differ: stages, parameters, wires"))
