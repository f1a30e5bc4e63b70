/**
 * The folder of a run: `description.json`, `run.json` (where its store is), `events.jsonl` (written while it runs), and the files
 * derived from the events: `ledger.json`, `samples.jsonl`, `metrics.jsonl`, `report.md` with its plots. `running.<owner>` is there while a
 * process runs it (`claim.ts`).
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { dirname, isAbsolute, join, relative, resolve } from "node:path"
import { bytesOf, textOf, Unreadable } from "../model/regularFile.ts"
import { claim } from "./claim.ts"
import type { Owner } from "./owner.ts"
import { Event } from "./runLog.ts"
import { digest, signed, unsigned, writeFileAtomic } from "./sealed.ts"
import { TakenOver } from "./takenOver.ts"

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

/** What decides the last bits of a run's numbers. */
export const Bits = Schema.Struct({
  /** The backend itself, not `auto`, and its GPU. */
  backend: Schema.String,
  /** Architecture and instruction sets; absent where they make no difference. */
  processor: Schema.optionalKey(Schema.String),
  /** Of the kernels. */
  compiler: Schema.optionalKey(Schema.String)
})
export type Bits = typeof Bits.Type

/** How a run was started; enough to resume it. */
export const RunFile = Schema.Struct({
  /** A file of version 1 has no SHA-256, of itself or of the description. */
  keel: Schema.Literals([1, 2]),
  /** SHA-256 of `description.json`. */
  description: Schema.optionalKey(Schema.String),
  backend: Schema.String,
  /** As it was asked for; absent when it was not. */
  device: Schema.optionalKey(Schema.String),
  /** Relative to the folder of the run where it lies beside or below it. */
  store: Schema.String,
  /** The price of an hour of it and of a million judged tokens, if given. */
  price: Schema.optionalKey(
    Schema.Struct({ currency: Schema.String, microsPerHour: Schema.Natural, microsPerMillionJudged: Schema.Natural })
  ),
  /**
   * The module that implements the operations and rewards from outside Keel, if any; relative to the folder of the run where both lie below
   * the folder that the run was started in.
   */
  module: Schema.optionalKey(Schema.String),
  /** Absent in older runs, like `read`. */
  bits: Schema.optionalKey(Bits),
  /** Everything that it reads, by digests: see `interpreters/contents.ts`. */
  read: Schema.optionalKey(Schema.Struct({
    files: Schema.Record(Schema.String, Schema.NullOr(Schema.String)),
    code: Schema.Record(Schema.String, Schema.String)
  }))
})
export type RunFile = typeof RunFile.Type

/** An event with the seconds since the process that wrote it started, and when it was, in ISO 8601; old logs lack the time. */
const Line = Schema.Struct({ at: Schema.Number, time: Schema.optionalKey(Schema.String), event: Event })

const encodeLine = Schema.encodeSync(Schema.fromJsonString(Line))
const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))

const [descriptionFile, runFile, eventsFile] = ["description.json", "run.json", "events.jsonl"] as const

const newline = 10

const below = (folder: string, path: string): boolean => !/^\.\.(?:$|[\\/])/u.test(relative(folder, path))

/** A file of a run that is no regular file is no run's. */
const regular = <A, E, R>(read: Effect.Effect<A, E | Unreadable, R>) =>
  Effect.mapError(read, (error) => {
    if (!(error instanceof Unreadable)) return error
    const { path, problem, remedy } = error
    return new BadRunFolder({ path, problem, remedy })
  })

/** How the run in `folder` was started, with its paths as they are now; `elsewhere` has those that do not move along with it. */
export const started = Effect.fn("runDirectory.started")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const wrong = (problem: string, path = folder, remedy?: string) =>
    new BadRunFolder({
      path,
      problem,
      remedy: remedy ?? "Start a run with keel run, or give the folder of one, e.g. runs/1a2b3c4d."
    })
  const again = `Start it again in the same folder: keel run FILE --out ${folder} goes on where it is.`
  const [description, path] = [join(folder, descriptionFile), join(folder, runFile)]
  // A path that is not a folder has no files in it either.
  const there = (path: string) => Effect.orElseSucceed(fs.exists(path), () => false)
  const missing = yield* Effect.filter([description, path], (file) => Effect.map(there(file), (is) => !is))
  if (missing.length === 2) return yield* wrong("there is no run there")
  if (missing.length === 1) return yield* wrong("this file of the run is gone", missing[0], again)
  const text = yield* regular(textOf(path))
  const file = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(RunFile))(text),
    (error) => wrong(error.message, path, again)
  )
  if (text.includes('"sha256"') ? unsigned(text) === undefined : file.keel === 2) {
    return yield* wrong("it was changed after Keel wrote it", path, again)
  }
  if (file.description !== undefined && digest(yield* regular(textOf(description))) !== file.description) {
    return yield* wrong("it is not the description that the run was started with", description, again)
  }
  const { module, store } = file
  return {
    ...file,
    description,
    store: resolve(folder, store),
    ...(module === undefined ? {} : { module: resolve(folder, module) }),
    elsewhere: { store: isAbsolute(store), module: module !== undefined && isAbsolute(module) }
  }
})

/** Names in the folder of a run. */
const ours: ReadonlyArray<string> = [
  descriptionFile,
  runFile,
  eventsFile,
  "ledger.json",
  "lm-eval",
  "metrics.jsonl",
  "samples.jsonl",
  "planned.json",
  "plots",
  "report.md",
  "spending.json"
]

/**
 * Owns the folder of a run, made if need be, until the scope closes; fails when another process runs it, or when it holds other files than
 * a run's and its `store`.
 * `waiting` is called while it is not known whether a process that ran it is still there. Returns an effect that fails once another process
 * took over.
 */
export const own = Effect.fn("runDirectory.own")(function*(
  folder: string,
  store: string,
  on: {
    readonly waiting: (owner: Owner) => Effect.Effect<void>
    readonly replaced: (owner: Owner) => Effect.Effect<void>
  }
) {
  const fs = yield* FileSystem.FileSystem
  const wrong = (problem: string, remedy: string) => new BadRunFolder({ path: folder, problem, remedy })
  if (yield* fs.exists(folder)) {
    if ((yield* fs.stat(folder)).type !== "Directory") return yield* wrong("it is a file", "Give a folder.")
    const names = yield* fs.readDirectory(folder)
    const other = names.filter((name) =>
      !ours.includes(name) && !/^\.|^running|\.partial$/u.test(name) && !below(join(folder, name), store)
    )
    if (other.length > 0 && !names.includes(runFile)) {
      return yield* wrong(
        `it holds other files (${other.slice(0, 3).join(", ")}${other.length > 3 ? ", …" : ""})`,
        "Give a new folder, or one of a run (--out)."
      )
    }
  }
  yield* fs.makeDirectory(folder, { recursive: true })
  const base = join(folder, "running")
  const mine = yield* claim<BadRunFolder | PlatformError.PlatformError>(base, {
    held: (owner, sure) =>
      sure
        ? Effect.fail(wrong(
          `process ${owner.pid} on ${owner.host} runs it`,
          `Wait until it ends, or end it; keel resume ${folder} goes on after that.`
        ))
        : on.waiting(owner),
    took: on.replaced,
    over: Effect.succeed(false)
  })
  // What a crash left of files that were being written.
  for (const at of [folder, join(folder, "plots")]) {
    for (const name of yield* Effect.orElseSucceed(fs.readDirectory(at), () => [])) {
      if (name.endsWith(".partial")) yield* fs.remove(join(at, name), { force: true })
    }
  }
  return Effect.gen(function*() {
    if (yield* fs.exists(mine!.folder)) return
    return yield* new TakenOver({ path: folder, by: null })
  })
})

/** Whether the folder holds a run of another description. */
export const ofAnother = Effect.fnUntraced(function*(folder: string, description: string) {
  const fs = yield* FileSystem.FileSystem
  const path = join(folder, descriptionFile)
  if (!(yield* fs.exists(path)) || (yield* regular(textOf(path))).trim() === description) return false
  // One of the two files may be damaged.
  const file = unsigned(yield* Effect.orElseSucceed(textOf(join(folder, runFile)), () => ""))
  return (file as { readonly description?: string } | undefined)?.description !== digest(`${description}\n`)
})

/** Creates the folder if need be and gives the appender of its event log. */
export const openRun = Effect.fn("runDirectory.open")(function*(
  folder: string,
  description: string,
  run: Omit<RunFile, "keel" | "description">
) {
  const fs = yield* FileSystem.FileSystem
  const before = Option.getOrUndefined(yield* Effect.option(started(folder)))
  const [at, here] = [resolve(folder), resolve(".")]
  /** A path as it is kept: relative when it moves along with the folder. */
  const kept = (path: string, along: boolean) => along ? relative(at, path) : path
  const [store, module] = [resolve(run.store), run.module]
  yield* fs.makeDirectory(folder, { recursive: true })
  yield* fs.makeDirectory(store, { recursive: true })
  yield* writeFileAtomic(join(folder, descriptionFile), `${description}\n`)
  const along = before?.elsewhere.module === false && before.module === module
  const file: RunFile = {
    ...run,
    keel: 2,
    description: digest(`${description}\n`),
    store: kept(store, below(dirname(at), store)),
    ...(module === undefined ? {} : { module: kept(module, along || (below(here, at) && below(here, module))) })
  }
  yield* writeFileAtomic(join(folder, runFile), signed(file))
  const log = join(folder, eventsFile)
  if (yield* fs.exists(log)) {
    // A new file with a last line that ends: a process that this one took over from writes into the old one.
    const bytes = yield* regular(bytesOf(log))
    yield* writeFileAtomic(
      log,
      bytes.length === 0 || bytes.at(-1) === newline ? bytes : Buffer.concat([bytes, Buffer.of(newline)])
    )
  }
  const events = yield* fs.open(log, { flag: "a" })
  const began = yield* Clock.currentTimeMillis
  return Effect.fnUntraced(function*(event: Event) {
    const now = yield* Clock.currentTimeMillis
    const line = encodeLine({ at: (now - began) / 1000, time: new Date(now).toISOString(), event })
    yield* events.writeAll(new TextEncoder().encode(`${line}\n`))
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
  const lines = (yield* regular(textOf(path))).split("\n").flatMap((line) => Option.toArray(decodeLine(line)))
  const kept = new Map<string, Event>()
  for (const { event } of lines) {
    // A stage that goes on from an earlier step, or begins again: what it told of later steps is no longer so.
    if (event._tag === "Started") {
      for (const [key, before] of kept) {
        if (before._tag === "Read") continue
        const { stage, step = Infinity } = before._tag === "Measured"
          ? before.measurement
          : { step: undefined, ...before }
        const later = before._tag === "Finished" ||
          ("step" in before || before._tag === "Measured") && step > event.from
        if (stage === event.stage && later) kept.delete(key)
      }
    }
    const key = event._tag === "Read"
      ? JSON.stringify(event)
      : event._tag === "Measured"
      ? `Measured/${event.measurement.stage}/${event.measurement.step}/${event.measurement.from}`
      : event._tag === "OverBudget"
      ? `OverBudget/${event.stage}/${event.step}/${event.from}/${event.statistic}`
      : `${event._tag}/${event.stage}/${"step" in event ? event.step : ""}`
    kept.delete(key)
    kept.set(key, event)
  }
  return [...kept.values()]
})
