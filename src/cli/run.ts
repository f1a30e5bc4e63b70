/** `keel run` and `keel resume`: the same thing, since finished nodes are found again and the rest goes on. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join } from "node:path"
import { OpenChoices } from "../../dsl/Recipe.ts"
import { naming } from "../../dsl/Render.ts"
import { type BackendName, backends } from "../program/backend.ts"
import { folderOf, run as train, type RunOptions } from "../program/run.ts"
import { alarms } from "../report/alarms.ts"
import { passed } from "../report/passed.ts"
import { unmeasured } from "../report/unmeasured.ts"
import { notes, sideBySide, table } from "../report/table.ts"
import { capOf, outputs } from "../report/write.ts"
import { BadRunFolder, events as eventsOf } from "../store/runDirectory.ts"
import { described } from "./addressed.ts"
import * as control from "./control.ts"
import { type PipelineFile, pipelineOf } from "./pipelineFile.ts"
import { priceIn, prices } from "./prices.ts"
import { progress, terminal } from "./progress.ts"
import { module, runIn } from "./runFolder.ts"
import { device, deviceOption, json, maybe, off, or, overrides, pipeline } from "./options.ts"

export const backend = or(
  Flag.Literals("backend", backends),
  "auto",
  "Backend: auto is the fastest here (native where there is a compiler, else wasm); torch needs libtorch, tfjs keel backend install; reference is double precision, slow"
)

const out = maybe(
  Flag.Directory("out"),
  "Folder of the run; default runs/ID. Finished nodes are shared in the folder `store` beside it"
)

export const acceptOtherBits = off(
  "accept-other-bits",
  "Go on with a run that began on another backend, processor or compiler, in other last bits"
)

/** Trains and prints the outcome. */
const told = Effect.fnUntraced(function*(
  { extensions, module, root }: PipelineFile,
  { json, ...options }: RunOptions & { readonly json: boolean }
) {
  const [named, out] = [naming(root), terminal()]
  const { folder, made, report, spending } = yield* train(root as never, {
    ...options,
    ...extensions,
    module,
    onEvent: progress({ ...out, write: (text) => out.write(named(text)) })
  })
  if (json) {
    yield* Console.log(JSON.stringify(report === null ? { folder, made: made._tag } : { folder, report }))
    return
  }
  const events = yield* eventsOf(folder)
  const found = report === null
    ? [outputs(root, events)]
    : [table(report, capOf(events)), "", ...notes(report), "", sideBySide(report)]
  yield* Console.log(`\n${named(found.join("\n"))}`)
  yield* Console.log(`\n${named(spending)}`)
  // Printed last, to be seen: the run succeeded, but with another result than intended.
  const said = [...unmeasured(events), ...passed(events), ...alarms(events)]
  if (said.length > 0) yield* Console.log(`\n${named(said.join("\n"))}`)
  yield* Console.log(`\nReport: ${join(folder, "report.md")}`)
})

export const run = Command.make(
  "run",
  { pipeline, ...overrides, out, backend, device, prices, acceptOtherBits, json },
  Effect.fn(function*({ acceptOtherBits, backend, device, json, out, pipeline, prices, ...overridden }) {
    const file = yield* pipelineOf(pipeline, overridden)
    const { chosen } = file
    const inputs = described(file)
    if (!overridden.shrink && chosen !== undefined && inputs.length + chosen.open.length > 0) {
      return yield* new OpenChoices({ recipe: chosen.recipe.name, inputs, choices: chosen.open })
    }
    const price = yield* priceIn(prices, Option.getOrElse(device, () => "cpu"))
    const folder = Option.isSome(out) ? { out: out.value } : {}
    yield* told(file, { ...folder, acceptOtherBits, backend, ...deviceOption(device), price, json })
  }, (effect, flags) => Effect.catchTag(effect, "IsControl", (file) => control.run(file, flags)))
).pipe(Command.withDescription("Train a pipeline for real"))

const runFolder = Argument.String("run").pipe(
  Argument.withDescription("Folder of a run, or the pipeline file it was started with")
)

export const resume = Command.make(
  "resume",
  { runFolder, ...overrides, module, acceptOtherBits, json },
  Effect.fn(function*({ acceptOtherBits, json, module, runFolder, ...overridden }) {
    const out = /\.(ts|mts|js|mjs|json)$/u.test(runFolder)
      ? folderOf((yield* pipelineOf(runFolder, overridden)).root)
      : runFolder
    const { backend, device, elsewhere, file, price = null, store } = yield* runIn(out, module, "resume")
    // Somebody else's run, or one that was moved without its store, must not begin anew where nobody looks.
    if (!(yield* (yield* FileSystem.FileSystem).exists(store))) {
      return yield* new BadRunFolder({
        path: out,
        problem: `its store, ${store}, is not there`,
        remedy: "Move it along with the folder of the run, or start the pipeline again: keel run FILE --out FOLDER."
      })
    }
    if (elsewhere.store) yield* Console.error(`writes to the store ${store}`)
    yield* told(file, {
      out,
      store,
      backend: backend as BackendName,
      ...(device === undefined ? {} : { device }),
      price,
      acceptOtherBits,
      json
    })
  })
).pipe(Command.withDescription("Go on with a run that was stopped or killed"))
