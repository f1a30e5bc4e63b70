/**
 * Reads everything that a description names on disk, before anything is trained or written: a missing file, a truncated
 * checkpoint or a broken row in the last stage's data is found in the first second, with all the others.
 */
import { Effect, type FileSystem, type PlatformError } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import * as Files from "../data/files.ts"
import type { BadData } from "../data/badData.ts"
import { Datasets } from "../data/dataset.ts"
import type { Chat } from "../data/formats.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import type { Weights } from "../engine/engine.ts"
import { load } from "../model/checkpoint.ts"
import { modelConfig } from "../model/config.ts"
import { codec } from "../model/tokenizer.ts"
import { codecOf } from "./checkpoints.ts"
import { check, type Problem, Refused } from "./check.ts"

/** Which template will render a conversation does not matter to whether its rows can be read. */
const anyChat: Chat = (messages) => messages.map(({ content }) => content).join("\n")

/** The tokenizer must fit the model too. */
const tokenizerOf = (weights: Weights, path: string) =>
  Effect.asVoid(codecOf({ codec: ({ config, tokenizer }) => codec(tokenizer, modelConfig(config)) }, weights, path))

/** Fails with every mistake of the description, or else with every input that cannot be read. */
export const preflight = Effect.fn("preflight")(function*(root: Artifact.Any) {
  yield* Effect.fromResult(check(root))
  const datasets = yield* Datasets
  const problems: Array<Problem> = []
  for (const artifact of Artifact.lineage(root)) {
    if (artifact.node.op !== "Source" && artifact.node.op !== "Checkpoint") continue
    const stage = stageOf(artifact)
    const read: Effect.Effect<void, BadData | BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem> =
      stage._tag === "Source"
        ? Effect.asVoid(datasets.load(stage.role, stage.origin, anyChat))
        : stage._tag === "Checkpoint"
        ? Effect.flatMap(load(stage.path), (weights) => tokenizerOf(weights, stage.path))
        : Effect.void
    yield* Effect.catch(
      read,
      (error) =>
        Effect.sync(() => problems.push({ stage: label(artifact), problem: `${error._tag}: ${error.message}` }))
    )
  }
  if (problems.length > 0) return yield* new Refused({ problems })
}, Effect.provide(Files.layer))
