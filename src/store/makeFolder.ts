import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import { dirname } from "node:path"

/**
 * Makes a folder and the folders above it, one by one. Node's own recursion names another reason than the system's (a read-only disk
 * as a missing folder), and never ends below /proc.
 */
export const makeFolder = (
  path: string
): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    if (yield* fs.exists(path)) {
      // Of a file this fails, as it has to.
      return yield* Effect.asVoid(fs.readDirectory(path))
    }
    yield* makeFolder(dirname(path))
    yield* Effect.catchReason(fs.makeDirectory(path), "PlatformError", "AlreadyExists", () => Effect.void)
  })
