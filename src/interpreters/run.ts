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
import { namedBy } from "../../dsl/Source.ts"
import { BadData } from "../data/badData.ts"
import { Datasets } from "../data/dataset.ts"
import * as Files from "../data/files.ts"
import { type Named, nameOf } from "../data/paths.ts"
import { CurrentEngine } from "../engine/current.ts"
import { CurrentMicroBatches } from "../engine/microBatches.ts"
import type { Engine, MicroBatches } from "../engine/engine.ts"
import { loadWith } from "../model/adapter.ts"
import { BadCheckpoint } from "../model/BadCheckpoint.ts"
import * as JudgeLayer from "../rewards/judge.ts"
import * as FileStore from "../store/files.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import type { Made } from "../store/made.ts"
import type { Price } from "../store/spent.ts"
import { CurrentPrice } from "../training/budgets.ts"
import { Checkpoints } from "./checkpoints.ts"
import { type ExecuteError, making } from "./execute.ts"
import type { Extensions } from "./extensions.ts"

/** A checked description with the settings of its run: the result of `prepare`. */
export interface RunPlan {
  readonly root: Artifact.Any
  readonly extensions: Required<Extensions>
  /** Price of an hour of the engine; null if unknown. */
  readonly price: Price | null
  /** Micro-batches by label of the stage; other stages have the engine's defaults. */
  readonly microBatches: ReadonlyMap<string, MicroBatches>
}

export interface RunOptions {
  readonly engine: Engine
  /** Folder of the store; shared by runs that should find each other's finished nodes. */
  readonly store: string
  readonly onEvent: (event: Event) => Effect.Effect<void, PlatformError.PlatformError>
  /** Why the file or folder `path` cannot be read any more as what it was when the run began; undefined if it can. */
  readonly stale?: (path: Named) => Effect.Effect<string | undefined>
}

/**
 * Gives back the rows and models of the stages before. V8 would wait until its heap has doubled, while kernels, whose memory it does not see,
 * take new memory. The command line runs Node with `--expose-gc`; elsewhere V8 decides.
 */
const collect = Effect.sync(() => (globalThis as { readonly gc?: () => void }).gc?.())

const remedy = "Run it again: what depends on it is made again."

export const run: (
  prepared: RunPlan,
  options: RunOptions
) => Effect.Effect<Made, ExecuteError, FileSystem.FileSystem> = Effect.fn("run")(function*(
  { extensions: { losses, rewards, stages }, microBatches, price, root }: RunPlan,
  { engine, onEvent, stale = () => Effect.succeed(undefined), store }: RunOptions
) {
  // Looked at after reading: a change before or while it was read is seen.
  const told = new Set<string>()
  const datasets = Layer.effect(
    Datasets,
    Effect.map(Datasets, ({ load }) => ({
      load: Effect.fnUntraced(function*(role, origin, chat) {
        const dataset = yield* load(role, origin, chat)
        const named = namedBy(origin)
        const problem = named === undefined ? undefined : yield* stale(named)
        if (problem !== undefined) {
          return yield* new BadData({ path: nameOf(named!), line: 0, problem, remedy })
        }
        const { about } = dataset
        const is = JSON.stringify(about)
        if (about !== undefined && !told.has(is)) {
          told.add(is)
          yield* Effect.orDie(onEvent({ _tag: "Read", ...about }))
        }
        return dataset
      })
    } satisfies Datasets["Service"]))
  ).pipe(Layer.provide(Files.layer))
  const load: Checkpoints["Service"]["load"] = ({ adapter, path = "" }) =>
    Effect.tap(
      loadWith(path, adapter),
      () =>
        Effect.forEach([path, ...(adapter === undefined ? [] : [adapter])], (folder) =>
          Effect.flatMap(
            stale(folder),
            (problem) =>
              problem === undefined ? Effect.void : Effect.fail(new BadCheckpoint({ path: folder, problem, remedy }))
          ), { discard: true })
    )
  return yield* making(root, { losses, stages }, (make) => make(root)).pipe(
    Effect.provideService(CurrentMicroBatches, microBatches),
    Effect.provide(
      Layer.mergeAll(
        Layer.succeed(CurrentEngine, engine),
        datasets,
        JudgeLayer.layer(rewards),
        FileStore.layer(store),
        Layer.succeed(Checkpoints, { load }),
        Layer.succeed(RunLog, {
          emit: (event) => Effect.tap(onEvent(event), () => event._tag === "Started" ? collect : Effect.void)
        })
      )
    ),
    Effect.provideService(CurrentPrice, price)
  )
})
