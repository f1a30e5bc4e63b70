/** Looks at every file that a pipeline names before training or writing begins. */
import * as Effect from "effect/Effect"
import type * as Artifact from "../../dsl/Artifact.ts"
import * as Files from "../data/files.ts"
import { Refused } from "../interpreters/check.ts"
import { inspect } from "../interpreters/inspect.ts"

/**
 * Fails with all inputs that cannot be used, of all stages: missing files, truncated weights, broken rows, and rows that a stage which is
 * `wanted` (by its id) could not train on.
 */
export const readable = Effect.fn("readable")(function*(root: Artifact.Any, wanted: ReadonlySet<string>) {
  const { problems } = yield* inspect(root, { wanted })
  if (problems.length > 0) return yield* new Refused({ problems })
}, Effect.provide(Files.layer))
