/** What the folders of a description's checkpoints say of their shapes, for `check`: each `config.json` is read, no weights are. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Artifact from "../../dsl/Artifact.ts"
import { config } from "../model/checkpoint.ts"
import type { Shapes } from "./checks/shapes.ts"

/** A folder that cannot be read is a mistake among the others: it does not fail here. */
export const shapesIn = (root: Artifact.Any): Effect.Effect<Shapes, never, FileSystem.FileSystem> => {
  const paths = Artifact.lineage(root).flatMap(({ node: { op, params } }) => {
    const { path } = params as { readonly path?: unknown }
    return op === "Checkpoint" && typeof path === "string" ? [path] : []
  })
  const read = (path: string) =>
    Effect.result(Effect.mapError(config(path), (error) =>
      error._tag === "BadCheckpoint"
        ? error.message
        : `${path}: it cannot be read (${error.message.replace(/\s+/gu, " ")}). Check the path and who may read it.`))
  return Effect.map(
    Effect.forEach([...new Set(paths)], (path) => Effect.map(read(path), (shape) => [path, shape] as const), {
      concurrency: 16
    }),
    (all) => new Map(all)
  )
}
