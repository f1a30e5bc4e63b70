/** A folder of files written all or nothing, in pieces that Node can take. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"
import { basename, dirname, join, resolve } from "node:path"

const partialOf = (folder: string): string => `${folder}.partial`
const previousOf = (folder: string): string => `${folder}.previous`

/**
 * Writes `files` (name → bytes): they are written and synced to `<dir>.partial` beside the folder, which then takes its place. When that
 * fails, the partial folder is removed and the old folder stays. An existing folder is replaced only when each of its names is `ours`.
 */
export const save = Effect.fnUntraced(function*(
  dir: string,
  files: () => Iterable<readonly [string, Uint8Array]>,
  ours: (name: string) => boolean
) {
  const fs = yield* FileSystem.FileSystem
  const folder = resolve(dir)
  const partial = partialOf(folder)
  for (const place of [folder, partial, previousOf(folder)]) yield* refuseForeign(fs, place, ours)
  yield* fs.makeDirectory(dirname(folder), { recursive: true })
  const write = Effect.gen(function*() {
    yield* fs.remove(partial, { recursive: true, force: true })
    yield* fs.makeDirectory(partial)
    for (const [name, bytes] of files()) yield* writeSynced(join(partial, name), bytes)
    yield* syncDirectory(partial)
    yield* Effect.uninterruptible(replace(fs, folder))
  })
  yield* Effect.onError(write, () => Effect.ignore(fs.remove(partial, { recursive: true, force: true })))
})

/** The folder, or the folder that a `save` had moved aside when it was killed between its two renames; undefined where neither is. */
export const whereIs = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  for (const place of [folder, previousOf(folder)]) if (yield* fs.exists(place)) return place
  return undefined
})

/** Node writes at most 2 GiB at once. */
const chunk = 1 << 28

/** Writes a file that is not there yet, durably, in one piece or several. */
export const writeSynced = Effect.fnUntraced(function*(path: string, contents: Uint8Array | Iterable<Uint8Array>) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.open(path, { flag: "wx" })
  for (const bytes of contents instanceof Uint8Array ? [contents] : contents) {
    for (let at = 0; at < bytes.length; at += chunk) yield* file.writeAll(bytes.subarray(at, at + chunk))
  }
  yield* file.sync
}, Effect.scoped)

/** Makes the names in a directory durable. Not every system can open a directory for this; the files are synced anyway. */
export const syncDirectory = (path: string) =>
  Effect.ignore(Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* (yield* fs.open(path, { flag: "r" })).sync
  })))

/** A directory cannot be renamed over a non-empty directory: the old directory moves aside first, and back on failure. */
const replace = Effect.fnUntraced(function*(fs: FileSystem.FileSystem, folder: string) {
  const previous = previousOf(folder)
  const there = yield* fs.exists(folder)
  if (there) {
    yield* fs.remove(previous, { recursive: true, force: true })
    yield* fs.rename(folder, previous)
  }
  yield* Effect.onError(
    fs.rename(partialOf(folder), folder),
    () => there ? Effect.ignore(fs.rename(previous, folder)) : Effect.void
  )
  yield* syncDirectory(dirname(folder))
  yield* Effect.ignore(fs.remove(previous, { recursive: true, force: true }))
})

const refuseForeign = Effect.fnUntraced(
  function*(fs: FileSystem.FileSystem, folder: string, ours: (name: string) => boolean) {
    if (!(yield* fs.exists(folder))) return
    const isFolder = (yield* fs.stat(folder)).type === "Directory"
    const foreign = isFolder ? (yield* fs.readDirectory(folder)).filter((name) => !ours(name)) : [basename(folder)]
    if (foreign.length === 0) return
    return yield* Effect.fail(PlatformError.systemError({
      _tag: "AlreadyExists",
      module: "checkpoint",
      method: "save",
      pathOrDescriptor: folder,
      description: `it holds files that are no checkpoint's and would be lost: ${foreign.slice(0, 5).join(", ")}`
    }))
  }
)
