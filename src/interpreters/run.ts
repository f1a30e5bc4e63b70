/**
 * Makes the artefact at the root of a description for real: a transformer, files, and a store on disk. Everything that
 * finished is found again by key, everything that did not goes on from its last checkpoint, so running and resuming are the
 * same thing and reach the same weights.
 */
import { Effect, Layer, type PlatformError } from "effect"
import type * as Artifact from "../../dsl/Artifact.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Engine } from "../engine/engine.ts"
import { loadWith } from "../model/adapter.ts"
import * as JudgeLayer from "../rewards/judge.ts"
import * as FileStore from "../store/files.ts"
import type { Event } from "../store/runLog.ts"
import { RunLog } from "../store/runLog.ts"
import { Checkpoints } from "./checkpoints.ts"
import { execute } from "./execute.ts"

export interface RunOptions {
  readonly engine: Engine
  /** Folder of the store; shared by runs that should find each other's finished nodes. */
  readonly store: string
  readonly onEvent: (event: Event) => Effect.Effect<void, PlatformError.PlatformError>
}

export const run = (root: Artifact.Any, { engine, onEvent, store }: RunOptions) =>
  execute(root).pipe(
    Effect.provide(
      Layer.mergeAll(
        Layer.succeed(CurrentEngine, engine),
        Files.layer,
        JudgeLayer.layer,
        FileStore.layer(store),
        Layer.succeed(Checkpoints, { load: loadWith }),
        Layer.succeed(RunLog, { emit: onEvent })
      )
    )
  )
