import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Artifact from "../../dsl/Artifact.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { mermaid, text } from "../../dsl/Render.ts"
import { problems, Refused } from "../interpreters/check.ts"
import { lackingExtensions } from "../interpreters/extensions.ts"
import { shapesIn } from "../interpreters/checkpointShapes.ts"
import { json, off, overrides, pipeline } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

export const check = Command.make(
  "check",
  { pipeline, ...overrides, json },
  Effect.fn(function*({ json, pipeline, ...overridden }) {
    const { extensions, root } = yield* pipelineOf(pipeline, overridden)
    const found = [...problems(root, { shapes: yield* shapesIn(root) }), ...lackingExtensions(root, extensions)]
    if (json) {
      yield* Console.log(JSON.stringify({ id: root.id, nodes: Artifact.lineage(root).length, problems: found }))
      if (found.length > 0) process.exitCode = 1
      return
    }
    if (found.length > 0) return yield* new Refused({ problems: found })
    yield* Console.log(`${pipeline}: ${Artifact.lineage(root).length} nodes, no mistakes (${root.id.slice(0, 8)})`)
  })
).pipe(Command.withDescription("Find every mistake in a description; of its checkpoints only config.json is read"))

export const show = Command.make(
  "show",
  {
    pipeline,
    ...overrides,
    json,
    mermaid: off("mermaid", "Print a Mermaid graph")
  },
  Effect.fn(function*({ json, mermaid: graph, pipeline, ...overridden }) {
    const { root } = yield* pipelineOf(pipeline, overridden)
    yield* Console.log(json ? toJson(root) : graph ? mermaid(root) : text(root))
  })
).pipe(Command.withDescription("Print a description: every node, its wires and parameters"))
