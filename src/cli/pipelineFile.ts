/** From a file on the command line to a description: a `.ts` module whose default export is a pipeline, or a `.json` description. */
import { Effect, FileSystem, Option, Result, Schema } from "effect"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import type { Overridden } from "./options.ts"

/** A file or an option that no pipeline can be got from. */
export class BadPipelineFile extends Schema.TaggedError<BadPipelineFile>()("BadPipelineFile", {
  path: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}

const fromModule = Effect.fnUntraced(function*(path: string) {
  const loaded = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(resolve(path)).href) as Promise<Readonly<Record<string, unknown>>>,
    catch: (error) =>
      new BadPipelineFile({
        path,
        problem: `it cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
        remedy: "Try it with node."
      })
  })
  const value = loaded["default"]
  if (Artifact.isArtifact(value)) return value
  return yield* new BadPipelineFile({
    path,
    problem: value === undefined ? "it has no default export" : "its default export is not a pipeline",
    remedy: "End the file with: export default Evaluate.make(…)"
  })
})

/** `value` as JSON when it is JSON, else as text: `--set ppo.beta=0.1 --set pretrain.family=tales`. */
const parseValue = (value: string): Schema.Json => {
  try {
    return JSON.parse(value) as Schema.Json
  } catch {
    return value
  }
}

const none: Overridden = { set: [], base: Option.none(), seed: Option.none() }

/** Reads the description in `path` and applies the overrides. Nothing is checked yet. */
export const pipelineOf = Effect.fn("pipelineOf")(function*(path: string, { base, seed, set }: Overridden = none) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(path))) {
    return yield* new BadPipelineFile({ path, problem: "there is no such file", remedy: "Check the path." })
  }
  let root = path.endsWith(".json")
    ? yield* Effect.fromResult(Pipeline.fromJson(yield* fs.readFileString(path)))
    : yield* fromModule(path)
  if (Option.isSome(seed)) root = Pipeline.seed(root, seed.value)
  const overrides = [...Option.match(base, { onNone: () => [], onSome: (dir) => [`checkpoint.path=${dir}`] }), ...set]
  for (const override of overrides) {
    const equals = override.indexOf("=")
    const wrong = (problem: string) =>
      new BadPipelineFile({ path: `--set ${override}`, problem, remedy: "For example: --set ppo.beta=0.1" })
    if (equals < 0) return yield* wrong("it has no =")
    const changed = Pipeline.set(root, override.slice(0, equals), parseValue(override.slice(equals + 1)))
    if (Result.isFailure(changed)) return yield* wrong(changed.failure)
    root = changed.success
  }
  return root
})
