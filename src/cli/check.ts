import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Artifact from "../../dsl/Artifact.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label, mermaid, naming, text } from "../../dsl/Render.ts"
import { capsIn, isUnmeasured } from "../interpreters/capsOf.ts"
import { problems, Refused } from "../interpreters/check.ts"
import { type Extensions, lackingExtensions } from "../interpreters/extensions.ts"
import { told } from "../data/about.ts"
import * as Files from "../data/files.ts"
import { inspect, type Look } from "../interpreters/inspect.ts"
import { lackingKeys } from "../interpreters/checks/endpoints.ts"
import { lackingSandbox } from "../interpreters/lacking.ts"
import { shapesIn } from "../interpreters/checkpointShapes.ts"
import { standInLines } from "./addressed.ts"
import { lineageText } from "./lineage.ts"
import { json, off, overrides, pipeline } from "./options.ts"
import * as control from "./control.ts"
import { pipelineOf } from "./pipelineFile.ts"

/** Rows of a file that are looked at without `--data`. */
const firstRows = 16

/** Every mistake in a description and, once that is sound, in what it reads and in the machine that is to run code. */
const checked = Effect.fnUntraced(function*(root: Artifact.Any, extensions: Extensions, data: boolean) {
  const described = [
    ...problems(root, { shapes: yield* shapesIn(root) }),
    ...lackingExtensions(root, extensions),
    ...lackingKeys(root)
  ]
  if (described.length > 0) return { found: described, looks: [], files: [] }
  const { files, looks, problems: found } = yield* inspect(root, data ? {} : { first: firstRows })
  return { found: [...found, ...(yield* lackingSandbox(root))], looks, files: data ? files : [] }
}, Effect.provide(Files.layer))

const count = (n: number): string => Math.round(n).toLocaleString("en-US")

const lookText = ({ dropped, kept, most, rows, stage, tokens, truncated, wire }: Look): string => {
  const cut = truncated > 0 ? `; ${count(truncated)} will be cut at ${count(most)}` : ""
  const left = dropped > 0
    ? `; ${count(dropped)} of more than ${count(most)} will be dropped, ${count(kept)} are left`
    : ""
  return `${stage}.${wire}: ${count(rows)} rows of ${count(tokens.mean)} tokens on average, at most ${
    count(tokens.longest)
  } (${tokens.place})${cut}${left}`
}

export const check = Command.make(
  "check",
  {
    pipeline,
    ...overrides,
    data: off("data", "Read all weights and rows, and tokenize the rows as their stages will read them"),
    json
  },
  Effect.fn(function*({ data, json, pipeline, ...overridden }) {
    const file = yield* pipelineOf(pipeline, overridden)
    const { extensions, root } = file
    const named = naming(root)
    const { files, found, looks } = yield* checked(root, extensions, data)
    if (json) {
      const rows = data ? { rows: looks, files } : {}
      yield* Console.log(
        JSON.stringify({ id: root.id, nodes: Artifact.lineage(root).length, problems: found, ...rows })
      )
      if (found.length > 0) process.exitCode = 1
      return
    }
    if (found.length > 0) {
      return yield* new Refused({
        problems: found.map(({ problem, stage }) => ({ stage: named(stage), problem: named(problem) }))
      })
    }
    for (const line of files.flatMap(told)) yield* Console.log(line)
    for (const look of looks) yield* Console.log(named(lookText(look)))
    const limits = capsIn(root)
    const unmeasured = Artifact.lineage(root).filter((artifact) => isUnmeasured(artifact, limits)).map(label)
    if (unmeasured.length > 0) {
      yield* Console.log(
        named(`KL will not be measured in ${unmeasured.length} stages: no held prompts (${unmeasured.join(", ")})`)
      )
    }
    yield* Console.log(`${pipeline}: ${Artifact.lineage(root).length} nodes, no mistakes (${root.id.slice(0, 8)})`)
    for (const line of standInLines(file)) yield* Console.log(line)
  }, (effect, flags) => Effect.catchTag(effect, "IsControl", (file) => control.check(file, flags)))
).pipe(Command.withDescription("Find every mistake in a description, its models and the first rows of its data"))

export const show = Command.make(
  "show",
  {
    pipeline,
    ...overrides,
    json,
    lineage: off("lineage", "Print where the weights, references, rewards and data of each model come from"),
    mermaid: off("mermaid", "Print a Mermaid graph")
  },
  Effect.fn(function*({ json, lineage, mermaid: graph, pipeline, ...overridden }) {
    const file = yield* pipelineOf(pipeline, overridden)
    const { root } = file
    if (json) return yield* Console.log(toJson(root))
    yield* Console.log(lineage ? lineageText(root) : graph ? mermaid(root) : text(root))
    if (!graph) { for (const line of standInLines(file)) yield* Console.log(`\n${line}`) }
  }, (effect, flags) => Effect.catchTag(effect, "IsControl", (file) => control.show(file, flags)))
).pipe(Command.withDescription("Print a description: every node, its wires and parameters"))
