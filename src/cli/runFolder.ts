/** From the folder of a run on the command line to its description and options. Says which code it is about to import from where. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import { BadRunFolder, started } from "../store/runDirectory.ts"
import { maybe } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

export const module = maybe(
  Flag.File("module"),
  "Module with the stages, rewards and losses of the run that are not Keel's; needed where it or the run lies outside of the folder in which the run was started"
)

/** The run in `folder`; `command` is told as the remedy when its module has to be named. */
export const runIn = Effect.fnUntraced(function*(folder: string, given: Option.Option<string>, command: string) {
  const fs = yield* FileSystem.FileSystem
  const { description, elsewhere, module: kept, ...rest } = yield* started(folder)
  const module = Option.getOrElse(given, () => kept ?? null)
  if (Option.isNone(given) && module !== null) {
    const there = yield* fs.exists(module)
    if (elsewhere.module || !there) {
      return yield* new BadRunFolder({
        path: folder,
        problem: `it takes stages, rewards or losses from ${module}, which ${
          there ? "does not lie with the run below the folder in which it was started" : "is not there"
        }`,
        remedy: `Name the module whose code is to run: keel ${command} ${folder} --module FILE.`
      })
    }
    yield* Console.error(`imports ${module}`)
  }
  return { ...rest, elsewhere, file: yield* pipelineOf(description, undefined, module) }
})
