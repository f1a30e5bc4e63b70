/**
 * The measured speed of this machine: `keel bench` writes it, `plan` estimates wall-clock time from it. The file lies in the
 * user's cache, because it belongs to the machine and to no project.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { dirname, join } from "node:path"
import { MiB, textOf } from "../model/regularFile.ts"
import { RateTable } from "../planning/cost/rates.ts"
import { cachePath } from "../tensor/cacheFolder.js"

/** Medians of a backend on this machine. Absent: not measured. */
export const BackendProfile = Schema.Struct({
  /** Best GEMM, 10⁹ floating-point operations a second. */
  peak: Schema.optionalKey(Schema.Finite),
  /** `rows×inputs×outputs` → GF/s. */
  gemm: Schema.Record(Schema.String, Schema.Finite),
  /** Model → tokens a second of whole training steps. */
  train: Schema.Record(Schema.String, Schema.Finite),
  /** Model → tokens a second of log-probabilities (forward only). */
  logprobs: Schema.Record(Schema.String, Schema.Finite),
  /** Model → new tokens a second, 16 sequences at a time. */
  generate: Schema.Record(Schema.String, Schema.Finite),
  /** Memory bandwidth of a large copy (reads and writes counted), 10⁹ bytes a second. */
  copy: Schema.optionalKey(Schema.Finite),
  /** The costs of its calls and of the host's work beside them, from which `plan` estimates time. */
  rates: Schema.optionalKey(RateTable)
})
export type BackendProfile = typeof BackendProfile.Type

export const MachineProfile = Schema.Struct({
  /** Version of this format; the first had no rates, and is read. */
  version: Schema.Literals([1, 2]),
  cpu: Schema.String,
  cores: Schema.Int,
  /** Bytes. */
  memory: Schema.Finite,
  platform: Schema.String,
  node: Schema.String,
  /** Threads that the measurements used. */
  threads: Schema.Int,
  /** Share of the cores that others used around the last measurement; above 0.1 the figures are too low. */
  busy: Schema.Finite,
  backends: Schema.Record(Schema.String, BackendProfile)
})
export type MachineProfile = typeof MachineProfile.Type

const Json = Schema.fromJsonString(MachineProfile)

/** `machine.json` in Keel's cache. */
export const profilePath = (environment = process.env): string => join(cachePath(environment), "machine.json")

/** A file that should be a profile and is none that can be read. */
export class BadProfile extends Schema.TaggedError<BadProfile>()("BadProfile", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem}. Write one with keel bench --calibrate, or name a published device with --device.`
  }
}

const Versioned = Schema.fromJsonString(Schema.Struct({ version: Schema.Int }))

/** The problem of a profile's text, in a line. */
const problemOf = (text: string): Effect.Effect<string> =>
  Schema.decodeUnknownEffect(Versioned)(text).pipe(
    Effect.match({
      onFailure: () => "there is no profile of a machine in it",
      onSuccess: ({ version }) =>
        version > 2
          ? `it is a profile of version ${version}, written by a newer Keel`
          : `it is a profile of version ${version}, and damaged`
    })
  )

/** The profile in a file; null when there is no such file. */
export const readProfile = (
  path: string
): Effect.Effect<MachineProfile | null, BadProfile, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const text = yield* textOf(path, 16 * MiB).pipe(
      Effect.catch((error) =>
        error._tag === "PlatformError" && error.reason._tag === "NotFound"
          ? Effect.succeed(null)
          : Effect.fail(new BadProfile({ path, problem: "it cannot be read" }))
      )
    )
    if (text === null) return null
    return yield* Schema.decodeUnknownEffect(Json)(text).pipe(
      Effect.catch(() => Effect.flatMap(problemOf(text), (problem) => Effect.fail(new BadProfile({ path, problem }))))
    )
  })

/** Two measurements of the same machine, merged: the newer of each figure. */
export const merge = (older: MachineProfile | null, newer: MachineProfile): MachineProfile => {
  if (older === null) return newer
  const same = (["cpu", "cores", "memory", "platform", "node", "threads"] as const).every((key) =>
    older[key] === newer[key]
  )
  if (!same) return newer
  const backends = { ...older.backends }
  for (const [name, now] of Object.entries(newer.backends)) {
    const before = backends[name]
    backends[name] = before === undefined ? now : {
      ...before,
      ...now,
      gemm: { ...before.gemm, ...now.gemm },
      train: { ...before.train, ...now.train },
      logprobs: { ...before.logprobs, ...now.logprobs },
      generate: { ...before.generate, ...now.generate }
    }
  }
  return { ...newer, backends }
}

/** Adds measurements to the profile in `path`. */
export const writeProfile = (path: string, profile: MachineProfile) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(dirname(path), { recursive: true, mode: 0o700 })
    // An unreadable profile is measured again.
    const merged = merge(yield* Effect.orElseSucceed(readProfile(path), () => null), profile)
    const text = JSON.stringify(yield* Schema.encodeEffect(MachineProfile)(merged), null, 2)
    // Another process reads the old file or the new one, never a part.
    const partial = `${path}.${process.pid}.partial`
    yield* fs.writeFileString(partial, `${text}\n`)
    yield* fs.rename(partial, path)
    return merged
  })
