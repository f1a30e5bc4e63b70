import { Context, type Effect, type FileSystem, type PlatformError } from "effect"
import type { Weights } from "../engine/engine.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"

/** Where a `Checkpoint` comes from: a folder in `run`, the world's language in `simulate`. */
export class Checkpoints extends Context.Service<Checkpoints, {
  readonly load: (
    path: string
  ) => Effect.Effect<Weights, BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem>
}>()("keel/Checkpoints") {}
