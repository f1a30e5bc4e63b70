import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { fetched } from "../program/fetch.ts"
import { overrides, pipeline } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

export const fetch = Command.make(
  "fetch",
  { pipeline, ...overrides },
  Effect.fn(function*({ pipeline, ...overridden }) {
    const { root } = yield* pipelineOf(pipeline, overridden)
    const names = yield* fetched(root, { again: true })
    if (names === 0) yield* Console.log(`${pipeline}: it names no model or data set of the Hugging Face hub`)
  })
).pipe(
  Command.withDescription("Fetch the models and data sets of the Hugging Face hub that a pipeline names into the cache")
)
