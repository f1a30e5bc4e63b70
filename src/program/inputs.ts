/** Reads every file that a pipeline names before training or writing begins. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import type { BadData } from "../data/badData.ts"
import { Datasets } from "../data/dataset.ts"
import * as Files from "../data/files.ts"
import type { Chat } from "../data/formats.ts"
import type { Weights } from "../engine/engine.ts"
import { type Problem, Refused } from "../interpreters/check.ts"
import { codecOf } from "../interpreters/checkpoints.ts"
import { loadWith } from "../model/adapter.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { modelConfig } from "../model/config.ts"
import { codec } from "../model/tokenizer.ts"

/** Rows are readable or not with any chat template. */
const anyChat: Chat = (messages) => messages.map(({ content }) => content).join("\n")

/** Also checks that the tokenizer fits the model. */
const tokenizerOf = (weights: Weights, path: string) =>
  Effect.asVoid(codecOf({ codec: ({ config, tokenizer }) => codec(tokenizer, modelConfig(config)) }, weights, path))

/** Fails with all inputs that cannot be read: missing files, truncated weights or broken rows, of all stages. */
export const readable = Effect.fn("readable")(function*(root: Artifact.Any) {
  const datasets = yield* Datasets
  const unread: Array<Problem> = []
  for (const artifact of Artifact.lineage(root)) {
    if (artifact.node.op !== "Source" && artifact.node.op !== "Checkpoint") continue
    const stage = stageOf(artifact)
    const read: Effect.Effect<void, BadData | BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem> =
      stage._tag === "Source"
        ? Effect.asVoid(datasets.load(stage.role, stage.origin, anyChat))
        : stage._tag === "Checkpoint"
        ? Effect.flatMap(loadWith(stage.path, stage.adapter), (weights) => tokenizerOf(weights, stage.path))
        : Effect.void
    yield* Effect.catch(
      read,
      (error) => Effect.sync(() => unread.push({ stage: label(artifact), problem: `${error._tag}: ${error.message}` }))
    )
  }
  if (unread.length > 0) return yield* new Refused({ problems: unread })
}, Effect.provide(Files.layer))
