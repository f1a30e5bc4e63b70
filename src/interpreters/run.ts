/**
 * Makes the artefact at the root of a description for real: a transformer, files, and a store on disk. Everything that
 * finished is found again by key, everything that did not goes on from its last checkpoint, so running and resuming are the
 * same thing and reach the same weights.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Implemented } from "../../dsl/Extension.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import { CurrentMicroBatches } from "../engine/microBatches.ts"
import type { Engine } from "../engine/engine.ts"
import { loadWith } from "../model/adapter.ts"
import * as JudgeLayer from "../rewards/judge.ts"
import * as FileStore from "../store/files.ts"
import type { Event } from "../store/runLog.ts"
import { RunLog } from "../store/runLog.ts"
import type { Made } from "../store/made.ts"
import { problems, Refused } from "./check.ts"
import { Checkpoints } from "./checkpoints.ts"
import { CurrentPrice } from "../training/budgets.ts"
import type { Price } from "../store/spent.ts"
import { lackingPrices } from "./prices.ts"
import { execute } from "./execute.ts"
import type { ExecuteError } from "./making.ts"
import { chosen } from "../planning/microBatches.ts"
import { type Extensions, type FailureOf, lackingExtensions, type Met } from "./extensions.ts"

export interface RunOptions extends Extensions {
  readonly engine: Engine
  /** Folder of the store; shared by runs that should find each other's finished nodes. */
  readonly store: string
  /** What an hour of `engine` costs; needed where money is capped. */
  readonly price?: Price | null
  readonly onEvent: (event: Event) => Effect.Effect<void, PlatformError.PlatformError>
}

const make = Effect.fn("run")(function*(
  root: Artifact.Any,
  { engine, losses = [], onEvent, price = null, rewards = [], stages = [], store }: RunOptions
) {
  const mistakes = [
    ...problems(root),
    ...lackingExtensions(root, { losses, rewards, stages }),
    ...lackingPrices(root, price)
  ]
  if (mistakes.length > 0) return yield* new Refused({ problems: mistakes })
  const microBatches = yield* chosen(root, engine, {
    losses,
    stages,
    ...(engine.packing === undefined ? {} : { packing: engine.packing })
  })
  return yield* execute(root, { losses, stages }).pipe(
    Effect.provideService(CurrentMicroBatches, microBatches),
    Effect.provide(
      Layer.mergeAll(
        Layer.succeed(CurrentEngine, engine),
        Files.layer,
        JudgeLayer.layer(rewards),
        FileStore.layer(store),
        Layer.succeed(Checkpoints, { load: loadWith }),
        Layer.succeed(RunLog, { emit: onEvent })
      )
    ),
    Effect.provideService(CurrentPrice, price)
  )
})

/** What is declared outside Keel needs its implementation in `stages`, `rewards` or `losses`; the compiler says so. */
export const run = <P extends Artifact.Any, const O extends RunOptions>(
  root: P & Implemented<P, Met<O>>,
  options: O
): Effect.Effect<Made, ExecuteError | FailureOf<O>, FileSystem.FileSystem> => make(root as Artifact.Any, options)
