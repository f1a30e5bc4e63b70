import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import { join } from "node:path"
import type { Checkpoint } from "../../dsl/Checkpoint.ts"
import type { Codec, Engine, Weights } from "../engine/engine.ts"
import { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { templateFile } from "../model/chatTemplate.ts"

/** Loads a `Checkpoint`: from a folder in `run`, from the world's language in `simulate`. */
export class Checkpoints extends Context.Service<Checkpoints, {
  readonly load: (
    checkpoint: Pick<Checkpoint, "adapter" | "path" | "shape">
  ) => Effect.Effect<Weights, BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem>
}>()("keel/Checkpoints") {}

/** The tokenizer of a model loaded from `path`, checked against the model's vocabulary. */
export const codecOf = (
  engine: Pick<Engine, "codec">,
  weights: Weights,
  path: string
): Effect.Effect<Codec, BadCheckpoint> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(engine.codec(weights))
    } catch (error) {
      // Any other error is a bug.
      if (!(error instanceof BadCheckpoint)) throw error
      return Effect.fail(
        new BadCheckpoint({ path: join(path, error.path), problem: error.problem, remedy: error.remedy })
      )
    }
  })

/** The model of a `Checkpoint` with the chat template of its description, if that has one, and its tokenizer. */
export const spoken = (
  engine: Pick<Engine, "codec">,
  loaded: Weights,
  { chatTemplate, path = "" }: { readonly chatTemplate?: string; readonly path?: string }
): Effect.Effect<{ readonly weights: Weights; readonly codec: Codec }, BadCheckpoint> => {
  const weights = chatTemplate === undefined
    ? loaded
    : { ...loaded, tokenizer: new Map([...loaded.tokenizer, [templateFile, chatTemplate]]) }
  return Effect.mapBoth(codecOf(engine, weights, path), {
    onSuccess: (codec) => ({ weights, codec }),
    onFailure: ({ path: at, problem, remedy }) =>
      new BadCheckpoint({
        path: chatTemplate !== undefined && at === join(path, templateFile) ? "chatTemplate" : at,
        problem,
        remedy
      })
  })
}
