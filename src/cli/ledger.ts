import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join } from "node:path"
import { limitsIn } from "../interpreters/limits.ts"
import { vocabulariesIn } from "../interpreters/vocabularies.ts"
import { alarms } from "../report/alarms.ts"
import { passed } from "../report/passed.ts"
import { ledgerOf } from "../report/ledger.ts"
import { comparison, text } from "../report/ledgerText.ts"
import { text as overOptimisationText, trajectories } from "../report/overOptimisation.ts"
import { measuredKl, overOptimised, stacked, svg } from "../report/plots.ts"
import { writeFileAtomic } from "../store/files.ts"
import { events as eventsOf, RunFile } from "../store/runDirectory.ts"
import { json } from "./options.ts"
import { BadPipelineFile, pipelineOf } from "./pipelineFile.ts"

/** The ledger of the run in `folder`. */
const ledgerIn = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const [description, runFile] = [join(folder, "description.json"), join(folder, "run.json")]
  const wrong = (problem: string, path = folder) =>
    new BadPipelineFile({ path, problem, remedy: "Give the folder of a run, e.g. runs/1a2b3c4d." })
  // A path that is not a folder has no files in it either.
  const there = (path: string) => Effect.orElseSucceed(fs.exists(path), () => false)
  if (!(yield* there(description)) || !(yield* there(runFile))) return yield* wrong("there is no run there")
  const { module = null, store } = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(RunFile))(
    yield* fs.readFileString(runFile)
  ).pipe(Effect.mapError((error) => wrong(error.message, runFile)))
  const { root } = yield* pipelineOf(description, undefined, module)
  const limits = limitsIn(root)
  const events = yield* eventsOf(folder)
  const stages = ledgerOf(root, events, (artifact) => limits(artifact).kl, yield* vocabulariesIn(root, store))
  return { stages, passed: passed(events), alarms: alarms(events), overOptimisation: trajectories(events) }
})

const folder = (name: string) => Argument.String(name).pipe(Argument.withDescription("Folder of a run"))

const compare = Command.make(
  "compare",
  { first: folder("first"), second: folder("second"), json },
  Effect.fn(function*({ first, json, second }) {
    const ledgers = { first: yield* ledgerIn(first), second: yield* ledgerIn(second) }
    yield* Console.log(json ? JSON.stringify(ledgers) : comparison(ledgers.first.stages, ledgers.second.stages))
  })
).pipe(Command.withDescription("The KL of two runs side by side"))

export const ledger = Command.make(
  "ledger",
  {
    run: folder("run"),
    json,
    svg: Flag.File("svg").pipe(Flag.withDescription("Also draw the measured KL to this file"), Flag.optional)
  },
  Effect.fn(function*({ json, run, svg: file }) {
    const found = yield* ledgerIn(run)
    const { overOptimisation, stages } = found
    if (Option.isSome(file)) {
      if (stages.every(({ measured }) => measured.length === 0)) {
        return yield* new BadPipelineFile({
          path: run,
          problem: "no KL was measured there, so there is no curve to draw",
          remedy: "Leave --svg out."
        })
      }
      const measured = measuredKl(stages)
      const spec = overOptimisation.length === 0
        ? measured
        : stacked([measured, ...overOptimisation.map(overOptimised)])
      yield* writeFileAtomic(file.value, yield* Effect.promise(() => svg(spec)))
    }
    yield* Console.log(
      json
        ? JSON.stringify(found)
        : [text(stages), ...found.passed, ...found.alarms, overOptimisationText(overOptimisation)].filter(Boolean)
          .join("\n\n")
    )
  })
).pipe(
  Command.withDescription("Show the KL of a run: allowed, known beforehand, measured"),
  Command.withSubcommands([compare])
)
