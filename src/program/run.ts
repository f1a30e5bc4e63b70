/** Runs a pipeline in a folder, as `keel run` does: prepares, trains, resumes, reports. */
import { processBytes, runtimeBytes } from "../planning/processMemory.ts"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PlatformError from "effect/PlatformError"
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Implemented } from "../../dsl/Extension.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import { CurrentPatience, endedBySecondSignal, interruptedBySignal, interruptible } from "../engine/interruptible.ts"
import { Refused } from "../interpreters/check.ts"
import type { ExecuteError } from "../interpreters/execute.ts"
import type { Extensions, FailureOf, Met } from "../interpreters/extensions.ts"
import { CurrentLoaded, Loaded } from "../data/files.ts"
import { contentsBy, type Read, readIn, stillAs } from "../interpreters/contents.ts"
import { lackingWeights } from "../interpreters/lacking.ts"
import { known } from "../interpreters/options.ts"
import { currenciesIn } from "../interpreters/capsOf.ts"
import { CurrentContents, finishedIn, keysIn, wantedIn } from "../interpreters/storeKeys.ts"
import { run as interpret } from "../interpreters/run.ts"
import { overCaps, overCapText } from "../planning/overCaps.ts"
import { plan as planned, type Planned, type PlanOptions } from "../planning/plan.ts"
import { prepare as prepareOn, type Prepared } from "../planning/prepare.ts"
import { local } from "../model/hub.ts"
import type { Unfetched } from "../model/hubFetch.ts"
import { writeReport } from "../report/write.ts"
import { digestsIn } from "../store/digests.ts"
import * as FileStore from "../store/files.ts"
import { makeFolder } from "../store/makeFolder.ts"
import type { Made } from "../store/made.ts"
import type { Report } from "../store/report.ts"
import { BadRunFolder, events as eventsOf, ofAnother, openRun, own, started } from "../store/runDirectory.ts"
import type { Event } from "../store/runLog.ts"
import type { Price } from "../store/spent.ts"
import { type SystemFailure, systemFailure } from "../store/systemFailure.ts"
import { type BackendName, type BackendUnavailable, engine as openEngine } from "./backend.ts"
import { bitsOf } from "./bits.ts"
import { fetched } from "./fetch.ts"
import { readable } from "./inputs.ts"
import { inputsSince, sameBits } from "./since.ts"
import { thisMachine } from "./machine.ts"
import { expected, spent } from "./spending.ts"
import { goesOn } from "./stopped.ts"

export interface RunOptions extends Extensions {
  /** Folder of the run; default: `runs/` and the first digits of the description's id. */
  readonly out?: string
  /** Folder of results, shared by runs; default: `store` beside the folder of the run. */
  readonly store?: string
  /** Backend; default `auto`: the fastest that works on this machine. */
  readonly backend?: BackendName
  /** `cpu`, or a GPU, `cuda:N`; by default chosen with the backend. */
  readonly device?: string
  /** Price of an hour; needed if the pipeline caps money. */
  readonly price?: Price | null
  /** The module that exports your extensions, for `keel resume`. */
  readonly module?: string | null
  /** Whether a run that began on another backend, processor or compiler goes on here, in other last bits. */
  readonly acceptOtherBits?: boolean
  /** Called with every event after it is logged. */
  readonly onEvent?: (event: Event) => Effect.Effect<void>
}

const optionNames = {
  out: true,
  store: true,
  backend: true,
  device: true,
  price: true,
  module: true,
  acceptOtherBits: true,
  onEvent: true,
  stages: true,
  rewards: true,
  losses: true
} as const

/** The result of a run. `M` is `string` if the pipeline makes a model in a folder, else `null`. */
export interface Ran<M extends string | null = string | null> {
  readonly folder: string
  readonly made: Made
  /** Hugging Face folder of the resulting model; an ensemble has none. */
  readonly model: M
  /** The report of an `Evaluate`. */
  readonly report: Report | null
  /** Planned and actual spending, as text. */
  readonly spending: string
}

type ModelOf<P extends Artifact.Any> = P[typeof Artifact.TypeId]["kind"] extends infer K
  ? K extends "BaseModel" | "Policy" | "ValueModel" ? string : K extends "RewardModel" ? string | null : null
  : never

export type RunError =
  | Exclude<ExecuteError, PlatformError.PlatformError>
  | BackendUnavailable
  | Unfetched
  | BadRunFolder
  | SystemFailure

/** The default folder of a run. */
export const folderOf = (root: Artifact.Any): string => join("runs", root.id.slice(0, 8))

/** Opens the backend, and prepares the run on it. */
const preparing = Effect.fnUntraced(function*(root: Artifact.Any, options: RunOptions) {
  yield* known("run", options, optionNames)
  const shapesAlone = lackingWeights(root)
  if (shapesAlone.length > 0) return yield* new Refused({ problems: shapesAlone })
  yield* fetched(root)
  const { backend = "auto", device, out = folderOf(root), store = join(dirname(resolve(out)), "store") } = options
  const { price = null, losses = [], rewards = [], stages = [] } = options
  const { backend: name, engine } = yield* openEngine(backend, device === undefined ? {} : { device })
  const { costs } = yield* thisMachine(backend)
  const digests = yield* digestsIn(store)
  const read = yield* readIn(root, { losses, rewards, stages }, digests)
  const reading = Effect.provideService(CurrentContents, contentsBy(read))
  const { prepared, wanted } = yield* Effect.gen(function*() {
    const finished = yield* finishedIn(root)
    const prepared = yield* prepareOn(root, { engine, finished, losses, rewards, stages, price, costs })
    return { prepared, wanted: new Set((yield* wantedIn(root, finished)).map(({ id }) => id)) }
  }).pipe(Effect.provide(FileStore.layer(store)), reading)
  yield* readable(root, wanted)
  return { backend, digests, engine, folder: out, name, prepared, read, reading, store }
})

/** Says which implementations from outside have no version. */
const unversioned = Effect.fnUntraced(function*({ code }: Read) {
  const names = Object.entries(code).flatMap(([name, is]) => is.startsWith("version ") ? [] : [name])
  if (names.length === 0) return
  yield* Console.error(
    `Without a version, of ${
      names.join(", ")
    } only the text of the function itself counts: after a change in the code that it calls, ` +
      'results are not made again. Give a version, e.g. reward(name, score, { version: "1" }).'
  )
})

const named = PlatformError.isPlatformError

/** A refusal of the system in words, as it is shown to people; with the folder of a run that it stopped. */
const resumable = (folder: string | null) => <E>(error: E): Exclude<E, PlatformError.PlatformError> | SystemFailure =>
  named(error) ? systemFailure(error, folder) : error as Exclude<E, PlatformError.PlatformError>

const running = Effect.fnUntraced(
  function*(root: Artifact.Any, options: RunOptions) {
    const { backend, digests, engine: opened, folder, name, prepared, read, reading, store } = yield* preparing(
      root,
      options
    )
    const { acceptOtherBits = false, device, module = null, onEvent } = options
    const { price } = prepared
    for (const needed of [folder, store]) yield* makeFolder(needed)
    const mine = yield* own(folder, store, {
      waiting: ({ host, pid }) =>
        Console.error(`${folder}: process ${pid} on ${host} ran it; waiting to see whether it still does`),
      replaced: ({ host, pid }) =>
        Console.error(`${folder}: process ${pid} on ${host} stands still; this one takes over`)
    })
    if (yield* ofAnother(folder, toJson(root))) {
      return yield* new BadRunFolder({
        path: folder,
        problem: "it holds a run of another description",
        remedy: "Give another folder (--out); stages that both share are found in the store beside it."
      })
    }
    const files = FileStore.layer(store)
    const bits = yield* bitsOf(name, device)
    const before = yield* Effect.catch(started(folder), (error) =>
      Effect.as(
        Effect.when(
          Console.error(
            `${join(folder, "run.json")} cannot be read (${
              error instanceof BadRunFolder ? error.problem : error.message
            }) and is written again; whether the inputs or the machine have changed since is not known.`
          ),
          Effect.sync(() => existsSync(join(folder, "run.json")))
        ),
        undefined
      ))
    if (before !== undefined) {
      const finished = yield* finishedIn(root).pipe(Effect.provide(files), reading)
      const left = yield* Effect.provide(wantedIn(root, finished), files)
      if (left.length > 0) yield* sameBits(folder, before, bits, acceptOtherBits)
      yield* inputsSince(root, before, read).pipe(Effect.provide(files), reading)
    }
    yield* unversioned(read)
    const { engine, patience } = yield* interruptible(opened)
    const append = yield* openRun(folder, toJson(root), {
      backend,
      ...(device === undefined ? {} : { device }),
      store,
      ...(price === null ? {} : { price }),
      ...(module === null ? {} : { module }),
      bits,
      read
    })
    yield* digests.keep
    yield* Console.error(`run ${folder} on ${name}`)
    const [currency] = currenciesIn(root)
    for (const one of overCaps(root, prepared.planned.stages, price)) yield* Console.error(overCapText(one, currency))
    const onDevice = device === undefined ? backend === "auto" && name === "torch" : device.startsWith("cuda")
    const inProcess: Parameters<typeof expected>[2] = (stage) => processBytes(stage, runtimeBytes(name), onDevice)
    const expectation = yield* expected(folder, prepared.planned, inProcess)
    const write = Effect.fnUntraced(function*(made: Made | null) {
      yield* mine
      const spending = yield* spent(folder, root, expectation, price).pipe(Effect.provide(files), reading)
      yield* writeReport(folder, root, made, spending)
      return spending
    })
    const { elsewhere } = yield* started(folder)
    const goOn = `keel resume ${folder}${elsewhere.module && module !== null ? ` --module ${module}` : ""}`
    const stopping = {
      first: "Stopping at the next safe point; Ctrl-C again ends at once.",
      second: `Ended at once; the work since the last checkpoint is lost. Go on with: ${goOn}`
    }
    const exit = yield* endedBySecondSignal(stopping, (stopped) =>
      interpret(prepared, {
        engine,
        store,
        stale: stillAs(read, digests),
        onEvent: (event) => Effect.andThen(append(event), onEvent?.(event) ?? Effect.void)
      }).pipe(
        reading,
        Effect.provideService(CurrentPatience, patience),
        interruptedBySignal,
        Effect.onInterrupt(Effect.fnUntraced(function*() {
          yield* stopped
          yield* Effect.ignore(write(null))
          const where = yield* Effect.orElseSucceed(Effect.map(eventsOf(folder), goesOn), () => null)
          yield* Console.error(`\nStopped${where === null ? "" : `; ${where}`}. Go on with: ${goOn}`)
        })),
        Effect.mapError(resumable(folder)),
        Effect.catchDefect((defect) => named(defect) ? Effect.fail(resumable(folder)(defect)) : Effect.die(defect)),
        Effect.exit
      ))
    const written = write(Exit.isSuccess(exit) ? exit.value : null)
    // The error of the run comes first: on a full disk the report cannot be written either.
    const spending = yield* Exit.isSuccess(exit)
      ? Effect.mapError(written, resumable(folder))
      : Effect.orElseSucceed(written, () => "")
    const made = yield* exit
    const report = made._tag === "Report" ? made.report : null
    const of = initialOf(root)
    const keys = yield* keysIn(root).pipe(Effect.provide(files), reading)
    const model = made._tag !== "Model" || of.node.op === "Ensemble"
      ? null
      : of.node.op === "Checkpoint"
      ? local((of.node.params as { readonly path?: string }).path ?? "")
      : FileStore.modelIn(store, keys.result(of)!, label(of))
    return { folder, made, model, report, spending } satisfies Ran as Ran
  },
  (effect) => Effect.provideServiceEffect(effect, CurrentLoaded, Effect.sync(() => new Loaded())),
  Effect.scoped,
  Effect.mapError(resumable(null)),
  Effect.provide(NodeFileSystem.layer)
)

/**
 * Trains `root` in the folder `out`. A second call continues a stopped run and reaches the same weights. The compiler
 * asks for your implementations of everything declared outside Keel: `stages`, `rewards`, `losses`. Prints the backend,
 * micro-batches, and caps that the plan passes on the `Console`.
 */
export const run = <P extends Artifact.Any, const O extends RunOptions = RunOptions>(
  root: P & Implemented<P, Met<O>>,
  options?: O
): Effect.Effect<Ran<ModelOf<P>>, RunError | FailureOf<O>> =>
  running(root as Artifact.Any, options ?? {}) as Effect.Effect<Ran<never>, RunError>

/** Prepares a run without training or writing: the plan of the run with its micro-batches, or all mistakes. */
export const prepare = <P extends Artifact.Any, const O extends RunOptions = RunOptions>(
  root: P & Implemented<P, Met<O>>,
  options?: O
): Effect.Effect<Prepared, RunError> =>
  Effect.map(preparing(root as Artifact.Any, options ?? {}), ({ prepared }) => prepared).pipe(
    Effect.scoped,
    Effect.mapError(resumable(null)),
    Effect.provide(NodeFileSystem.layer)
  )

const planOptionNames = {
  rehearsed: true,
  reads: true,
  shape: true,
  costs: true,
  packing: true,
  devices: true,
  completionLength: true,
  only: true,
  kept: true,
  stages: true,
  rewards: true,
  losses: true
} as const

/** The plan of each stage of `root`, independent of any machine; stages without a plan have a reason. */
export const plan = (root: Artifact.Any, options?: PlanOptions): Effect.Effect<Planned, Refused | Unfetched> =>
  known("plan", options ?? {}, planOptionNames).pipe(
    Effect.andThen(fetched(root, { described: options?.reads ?? false })),
    Effect.andThen(planned(root, options)),
    Effect.provide(NodeFileSystem.layer)
  )
