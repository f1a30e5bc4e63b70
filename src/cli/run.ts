/** `keel run` and `keel resume`: the same thing, since finished nodes are found again and the rest goes on. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { dirname, join, resolve } from "node:path"
import { toJson } from "../../dsl/Pipeline.ts"
import { abandonedIsInterrupted, CurrentPatience, interruptible } from "../engine/interruptible.ts"
import { finishedIn } from "../interpreters/keys.ts"
import { preflight } from "../planning/preflight.ts"
import { overCaps, overCapText } from "../planning/overCaps.ts"
import { run as interpret } from "../interpreters/run.ts"
import { alarms } from "../report/alarms.ts"
import { passed } from "../report/passed.ts"
import { notes, sideBySide, table } from "../report/table.ts"
import { capOf, writeReport } from "../report/write.ts"
import * as FileStore from "../store/files.ts"
import type { Report } from "../store/report.ts"
import type { Price } from "../store/spent.ts"
import { events as eventsOf, open, RunFile } from "../store/runDirectory.ts"
import { type BackendName, backends, engine as openEngine } from "./backend.ts"
import { BadPipelineFile, type PipelineFile, pipelineOf } from "./pipelineFile.ts"
import { priceIn, prices } from "./prices.ts"
import { progress } from "./progress.ts"
import { planned, spent } from "./spending.ts"
import { device, deviceOption, json, overrides, pipeline } from "./options.ts"
import { goesOn } from "./stopped.ts"

const backend = Flag.Literals("backend", backends).pipe(
  Flag.withDescription(
    "What computes: auto is the fastest here (native where there is a compiler, else wasm); torch needs libtorch, tfjs keel backend install; reference is double precision, slow"
  ),
  Flag.withDefault("auto")
)

const out = Flag.Directory("out").pipe(
  Flag.withDescription("Folder of the run; default runs/ID. Finished nodes are shared in the folder `store` beside it"),
  Flag.optional
)

interface Options extends PipelineFile {
  readonly folder: string
  readonly store: string
  readonly backend: BackendName
  readonly device?: string
  readonly price: Price | null
  readonly json: boolean
}

const execute = Effect.fn("cli.run")(function*(
  { backend, device, extensions, folder, json, module, price, root, store }: Options
) {
  const where = device === undefined ? {} : { device }
  const { backend: name, engine: opened } = yield* openEngine(backend, where)
  yield* Effect.provide(preflight(root, opened, finishedIn(root), extensions, price), FileStore.layer(store))
  const fs = yield* FileSystem.FileSystem
  const description = join(folder, "description.json")
  if ((yield* fs.exists(description)) && (yield* fs.readFileString(description)).trim() !== toJson(root)) {
    return yield* new BadPipelineFile({
      path: folder,
      problem: "it holds a run of another description",
      remedy: "Give another --out; what is the same in both is found again in the store beside it."
    })
  }
  const { engine, patience } = yield* interruptible(opened)
  const append = yield* open(folder, toJson(root), {
    keel: 1,
    backend,
    ...where,
    store,
    ...(price === null ? {} : { price }),
    ...(module === null ? {} : { module })
  })
  const tell = progress({
    write: (text) => process.stderr.write(text),
    live: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? 100
  })
  yield* Console.error(`run ${folder} on ${name}`)
  const expected = yield* planned(folder, root, extensions, backend, opened.packing)
  const planning = Object.entries(expected.stages).map(([stage, of]) => ({ stage, ...of }))
  for (const one of overCaps(root, planning, price)) yield* Console.error(overCapText(one, price))
  const spending = Effect.provide(spent(folder, root, expected, price), FileStore.layer(store))
  const write = (report: Report | null) =>
    Effect.flatMap(spending, (spending) => Effect.as(writeReport(folder, root, report, spending), spending))
  const exit = yield* interpret(root, {
    ...extensions,
    engine,
    store,
    price,
    onEvent: (event) => Effect.andThen(append(event), tell(event))
  }).pipe(
    Effect.provideService(CurrentPatience, patience),
    abandonedIsInterrupted,
    Effect.onInterrupt(Effect.fnUntraced(function*() {
      yield* Effect.ignore(write(null))
      const where = yield* Effect.orElseSucceed(Effect.map(eventsOf(folder), goesOn), () => null)
      yield* Console.error(`\nStopped${where === null ? "" : `; ${where}`}. Go on with: keel resume ${folder}`)
    })),
    Effect.exit
  )
  const report = Exit.isSuccess(exit) && exit.value._tag === "Report" ? exit.value.report : null
  const written = write(report)
  // The error of the run comes first: on a full disk the report cannot be written either.
  const took = yield* Exit.isSuccess(exit) ? written : Effect.orElseSucceed(written, () => "")
  const made = yield* exit
  if (json) {
    yield* Console.log(JSON.stringify(report === null ? { folder, made: made._tag } : { folder, report }))
    return
  }
  const events = yield* eventsOf(folder)
  if (report !== null) {
    yield* Console.log(["", table(report, capOf(events)), "", ...notes(report), "", sideBySide(report)].join("\n"))
  }
  yield* Console.log(`\n${took}`)
  // Last, where it is seen: the run succeeded, and what it made is not what it would have been.
  const told = [...passed(events), ...alarms(events)]
  if (told.length > 0) yield* Console.log(`\n${told.join("\n")}`)
  yield* Console.log(`\nReport: ${join(folder, "report.md")}`)
}, Effect.scoped)

export const run = Command.make(
  "run",
  { pipeline, ...overrides, out, backend, device, prices, json },
  Effect.fn(function*({ backend, device, json, out, pipeline, prices, ...overridden }) {
    const file = yield* pipelineOf(pipeline, overridden)
    const folder = Option.getOrElse(out, () => join("runs", file.root.id.slice(0, 8)))
    const store = join(dirname(resolve(folder)), "store")
    const price = yield* priceIn(prices, Option.getOrElse(device, () => "cpu"))
    yield* execute({ ...file, folder, store, backend, ...deviceOption(device), price, json })
  })
).pipe(Command.withDescription("Train a pipeline for real"))

const runFolder = Argument.String("run").pipe(
  Argument.withDescription("Folder of a run, or the pipeline file it was started with")
)

export const resume = Command.make(
  "resume",
  { runFolder, ...overrides, json },
  Effect.fn(function*({ json, runFolder, ...overridden }) {
    const fs = yield* FileSystem.FileSystem
    let folder = runFolder
    if (/\.(ts|mts|js|mjs|json)$/u.test(runFolder)) {
      const { root } = yield* pipelineOf(runFolder, overridden)
      folder = join("runs", root.id.slice(0, 8))
    }
    const [description, runFile] = [join(folder, "description.json"), join(folder, "run.json")]
    if (!(yield* fs.exists(description)) || !(yield* fs.exists(runFile))) {
      return yield* new BadPipelineFile({
        path: folder,
        problem: "there is no run to resume",
        remedy: "Start one with keel run, or give its folder."
      })
    }
    const { backend, module = null, price = null, store, ...where } = yield* Schema.decodeUnknownEffect(
      Schema.fromJsonString(RunFile)
    )(
      yield* fs.readFileString(runFile)
    ).pipe(
      Effect.mapError((error) =>
        new BadPipelineFile({ path: runFile, problem: error.message, remedy: "Start the run again with keel run." })
      )
    )
    const file = yield* pipelineOf(description, undefined, module)
    const device = where.device === undefined ? {} : { device: where.device }
    yield* execute({ ...file, folder, store, backend: backend as BackendName, ...device, price, json })
  })
).pipe(Command.withDescription("Go on with a run that was stopped or killed"))
