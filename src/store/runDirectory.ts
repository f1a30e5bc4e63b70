/**
 * The folder of a run: `description.json`, `run.json` (where its store is), `events.jsonl` (written while it runs), and the files
 * derived from the events: `ledger.json`, `samples.jsonl`, `metrics.jsonl`, `report.md` with its plots.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { writeFileAtomic } from "./sealed.ts"
import { Event } from "./runLog.ts"

/** A folder that is not that of a run, or not of this one. */
export class BadRunFolder extends Schema.TaggedError<BadRunFolder>()("BadRunFolder", {
  path: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}

/** How a run was started; enough to resume it. */
export const RunFile = Schema.Struct({
  keel: Schema.Literal(1),
  backend: Schema.String,
  /** As it was asked for; absent when it was not. */
  device: Schema.optionalKey(Schema.String),
  store: Schema.String,
  /** The price of an hour of it and of a million judged tokens, if given. */
  price: Schema.optionalKey(
    Schema.Struct({ currency: Schema.String, microsPerHour: Schema.Natural, microsPerMillionJudged: Schema.Natural })
  ),
  /** The module that implements the operations and rewards from outside Keel, if any. */
  module: Schema.optionalKey(Schema.String)
})
export type RunFile = typeof RunFile.Type

/** An event with the seconds since the process that wrote it started. */
const Line = Schema.Struct({ at: Schema.Number, event: Event })

const encodeLine = Schema.encodeSync(Schema.fromJsonString(Line))
const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))

/** How the run in `folder` was started. */
export const started = Effect.fn("runDirectory.started")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const wrong = (problem: string, path = folder) =>
    new BadRunFolder({
      path,
      problem,
      remedy: "Start a run with keel run, or give the folder of one, e.g. runs/1a2b3c4d."
    })
  const [description, runFile] = [join(folder, "description.json"), join(folder, "run.json")]
  // A path that is not a folder has no files in it either.
  const there = (path: string) => Effect.orElseSucceed(fs.exists(path), () => false)
  if (!(yield* there(description)) || !(yield* there(runFile))) return yield* wrong("there is no run there")
  const file = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(RunFile))(yield* fs.readFileString(runFile)),
    (error) => wrong(error.message, runFile)
  )
  return { ...file, description }
})

/** Creates the folder if need be and gives the appender of its event log. */
export const openRun = Effect.fn("runDirectory.open")(function*(folder: string, description: string, run: RunFile) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(folder, { recursive: true })
  yield* writeFileAtomic(join(folder, "description.json"), `${description}\n`)
  yield* writeFileAtomic(join(folder, "run.json"), `${JSON.stringify(run)}\n`)
  const file = yield* fs.open(join(folder, "events.jsonl"), { flag: "a" })
  const began = yield* Clock.currentTimeMillis
  return Effect.fnUntraced(function*(event: Event) {
    const at = ((yield* Clock.currentTimeMillis) - began) / 1000
    yield* file.writeAll(new TextEncoder().encode(`${encodeLine({ at, event })}\n`))
  })
})

/**
 * The events of a run without the repetitions of a crash: for each stage the last event of each step counts, and a line that the
 * crash cut off is left out.
 */
export const events = Effect.fn("runDirectory.events")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = join(folder, "events.jsonl")
  if (!(yield* fs.exists(path))) return []
  const lines = (yield* fs.readFileString(path)).split("\n").flatMap((line) => Option.toArray(decodeLine(line)))
  const kept = new Map<string, Event>()
  for (const { event } of lines) {
    const key = event._tag === "Measured"
      ? `Measured/${event.measurement.stage}/${event.measurement.step}/${event.measurement.from}`
      : event._tag === "OverBudget"
      ? `OverBudget/${event.stage}/${event.step}/${event.from}/${event.statistic}`
      : `${event._tag}/${event.stage}/${"step" in event ? event.step : ""}`
    kept.delete(key)
    kept.set(key, event)
  }
  return [...kept.values()]
})
