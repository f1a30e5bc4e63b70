/**
 * Measures the costs of work on this machine: runs small pipelines and times every call of the backend and all
 * host work, beside the size that `counting` gives it.
 */
import { tales } from "../../dsl/Source.ts"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import { type Clock, clock } from "./cost/clock.ts"
import { nonNegative, ratesOf } from "./cost/fit.ts"
import {
  type HostWork,
  watchedDatasets,
  watchedEngine,
  watchedJudge,
  watchedLog,
  watchedStore
} from "./cost/hostWork.ts"
import { free, type RateTable } from "./cost/rates.ts"
import { Datasets } from "../data/dataset.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import { transformer } from "../engine/transformer/transformer.ts"
import type { Engine } from "../engine/engine.ts"
import { loadWith } from "../model/adapter.ts"
import * as JudgeLayer from "../rewards/judge.ts"
import { Judge } from "../rewards/judge.ts"
import * as FileStore from "../store/files.ts"
import { openRun } from "../store/runDirectory.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import type { Backend } from "../tensor/backend.ts"
import { calibration, sizes } from "./calibration.ts"
import { Checkpoints } from "../interpreters/checkpoints.ts"
import { execute } from "../interpreters/execute.ts"

/** Work that predicts the time of stages outside of any verb: `stage.learn` is the rate of a learned token. */
const followed = ["learn", "pass", "sample", "event"] as const satisfies ReadonlyArray<HostWork>

/** A stage: its seconds that no timed call explains, and the amounts of work in it. */
interface Rest {
  readonly seconds: number
  readonly amounts: ReadonlyArray<number>
}

/** Runs a pipeline with every piece of work timed; returns the rest of each stage. */
const run = Effect.fnUntraced(function*(root: Artifact.Any, engine: Engine, times: Clock, folder: string) {
  const rests: Array<Rest> = []
  const frames: Array<{ readonly key: string; readonly end: () => number; readonly before: ReadonlyArray<number> }> = []
  const amounts = () => followed.map((what) => times.done().get(what) ?? 0)
  const store = Layer.effect(
    Store,
    Effect.map(Store, (files) => {
      const watched = watchedStore(files, times)
      return {
        ...watched,
        find: (key, label) =>
          Effect.tap(watched.find(key, label), (found) =>
            found._tag === "None"
              ? Effect.sync(() => frames.push({ key, end: times.begin(), before: amounts() }))
              : Effect.void),
        finish: (key, label, made) =>
          Effect.tap(watched.finish(key, label, made), () =>
            Effect.sync(() => {
              const { before, end } = frames.pop()!
              rests.push({ seconds: end(), amounts: amounts().map((now, i) => now - before[i]!) })
            }))
      } satisfies Store["Service"]
    })
  ).pipe(Layer.provide(FileStore.layer(join(folder, "store"))))
  const append = yield* openRun(join(folder, "run"), "{}", { backend: "auto", store: folder })
  yield* execute(root, { stages: [] }).pipe(Effect.provide(Layer.mergeAll(
    Layer.succeed(CurrentEngine, watchedEngine(engine, times)),
    Layer.effect(Datasets, Effect.map(Datasets, (datasets) => watchedDatasets(datasets, times))).pipe(
      Layer.provide(Files.layer)
    ),
    Layer.effect(Judge, Effect.map(Judge, (judge) => watchedJudge(judge, times))).pipe(
      Layer.provide(JudgeLayer.layer())
    ),
    store,
    Layer.succeed(Checkpoints, { load: ({ adapter, path = "" }) => loadWith(path, adapter) }),
    Layer.succeed(RunLog, watchedLog({ emit: append }, times))
  )))
  return rests
})

/** Rates that fit the rests of stages: `stage` for each stage, and `stage.*` for each unit of its work. */
const ratesOfRests = (rests: ReadonlyArray<Rest>): RateTable => {
  const [call = 0, ...units] = nonNegative(
    rests.map(({ amounts, seconds }) => ({ a: [1, ...amounts], y: seconds, weight: 1 / Math.max(seconds, 1e-3) }))
  )
  return {
    stage: { ...free, call },
    ...Object.fromEntries(followed.map((what, i) => [`stage.${what}`, { ...free, byte: units[i]! }]))
  }
}

/** Different operations in a calibration: each has code of its own. */
const operations = new Set(Artifact.lineage(calibration(sizes.small)).map(({ node }) => node.op)).size

/** Rates of every call of this backend and of all host work; `now` in seconds. */
export const calibrate = Effect.fn("calibrate")(function*(backend: Backend, now: () => number) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "keel-calibrate-" })
  const times = clock(now)
  const engine = transformer(times.backend(backend))
  // In the first run all code is new to the machine; the extra time is the cost of the start.
  const begun = now()
  yield* run(calibration(sizes.small), engine, times, join(folder, "first"))
  const first = now() - begun
  times.restart()
  const again = now()
  const rests = [...yield* run(calibration(sizes.small), engine, times, join(folder, "second"))]
  const start = Math.max(0, first - (now() - again))
  for (const role of ["Rankings", "Stepwise", "UnpairedPreferences"] as const) {
    for (const count of [30, 200]) {
      yield* Effect.flatMap(
        Datasets,
        (datasets) => watchedDatasets(datasets, times).load(role, tales({ count }), () => "")
      ).pipe(Effect.provide(Files.layer))
    }
  }
  rests.push(...yield* run(calibration(sizes.large), engine, times, join(folder, "large")))
  if (backend.precisions.includes("bf16")) {
    for (const size of ["small", "large"] as const) {
      rests.push(...yield* run(calibration(sizes[size], "bf16"), engine, times, join(folder, `${size} bf16`)))
    }
  }
  const table: Record<string, RateTable[string]> = {
    ...ratesOfRests(rests),
    start: { ...free, call: start / operations }
  }
  for (const [what, timings] of times.timings()) table[what] = ratesOf(timings)
  return table as RateTable
}, Effect.scoped)
