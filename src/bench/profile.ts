/**
 * What this machine can do, as measured: `keel bench` writes it, `plan` estimates wall-clock time from it. The file lies in the
 * user's cache, because it belongs to the machine and to no project.
 */
import { Effect, FileSystem, Schema } from "effect"
import { homedir } from "node:os"
import { dirname, join } from "node:path"

/** Medians of one backend on this machine. Absent: not measured. */
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
  copy: Schema.optionalKey(Schema.Finite)
})
export type BackendProfile = typeof BackendProfile.Type

export const MachineProfile = Schema.Struct({
  /** Version of this format. */
  version: Schema.Literal(1),
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

/** `$KEEL_CACHE`, `$XDG_CACHE_HOME/keel` or `~/.cache/keel`, and `machine.json` in it. */
export const profilePath = (environment: Readonly<Record<string, string | undefined>> = process.env): string => {
  const { KEEL_CACHE: own, XDG_CACHE_HOME: shared } = environment
  const folder = own ? own : shared ? join(shared, "keel") : join(homedir(), ".cache", "keel")
  return join(folder, "machine.json")
}

/** The profile in a file; null when there is none, or it is of another version or damaged: it is measured again then. */
export const readProfile = (
  path: string
): Effect.Effect<MachineProfile | null, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* Schema.decodeUnknownEffect(Json)(yield* fs.readFileString(path))
  }).pipe(Effect.orElseSucceed(() => null))

/** What two measurements of the same machine say together: the newer of each figure. */
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

/** Adds what was measured to the profile in `path`. */
export const writeProfile = (path: string, profile: MachineProfile) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(dirname(path), { recursive: true })
    const merged = merge(yield* readProfile(path), profile)
    const text = JSON.stringify(yield* Schema.encodeEffect(MachineProfile)(merged), null, 2)
    // Another process reads the old file or the new one, never a part.
    const partial = `${path}.${process.pid}.partial`
    yield* fs.writeFileString(partial, `${text}\n`)
    yield* fs.rename(partial, path)
    return merged
  })
