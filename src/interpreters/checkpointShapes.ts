/** Reads the shapes of checkpoints for `check` from `config.json` and `adapter_config.json`, without weights. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Artifact from "../../dsl/Artifact.ts"
import { config as adapterConfig } from "../model/adapter.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { config } from "../model/checkpoint.ts"
import { isHub, local } from "../model/hub.ts"
import type { Shapes } from "./checks/shapes.ts"

type Read<A> = Effect.Effect<A, BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem>

/** The problem of a folder in one line, if it has one. */
const said = <A>(folder: string, read: Read<A>) =>
  Effect.result(Effect.mapError(read, (error) =>
    error._tag === "BadCheckpoint"
      ? error.message
      : `${folder}: it cannot be read (${error.message.replace(/\s+/gu, " ")}). Check the path and who may read it.`))

/** An unreadable folder is a mistake among others and does not fail this effect. */
export const shapesIn = Effect.fnUntraced(function*(root: Artifact.Any) {
  const checkpoints = Artifact.lineage(root).flatMap(({ node: { op, params } }) => {
    const { adapter, path } = params as { readonly path?: unknown; readonly adapter?: unknown }
    // A model of the hub that was not fetched yet is none of the mistakes of a description.
    return op === "Checkpoint" && typeof path === "string" && !isHub(local(path)) ? [{ path, adapter }] : []
  })
  const each = <A>(folders: ReadonlyArray<string>, read: (folder: string) => Read<A>) =>
    Effect.forEach(
      new Set(folders),
      (folder) => Effect.map(said(folder, read(folder)), (result) => [folder, result] as const),
      { concurrency: 16 }
    )
  const shapes = new Map(yield* each(checkpoints.map(({ path }) => path), config))
  const adapters = checkpoints.flatMap(({ adapter }) => typeof adapter === "string" ? [adapter] : [])
  for (const [folder, found] of yield* each(adapters, adapterConfig)) {
    if (Result.isFailure(found)) shapes.set(folder, Result.fail(found.failure))
  }
  return shapes satisfies Shapes as Shapes
})
