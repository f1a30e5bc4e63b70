import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, FileSystem, Layer, PlatformError } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"

/** A file system that fails on purpose. */
export interface Faults {
  /**
   * `crash`: nothing at all happens after `after` changes, clean-up included, as after kill -9; a write is cut in half.
   * `full`: what needs room fails after `after` changes; files can still be removed.
   */
  readonly kind: "crash" | "full"
  readonly after: number
  /** Changes so far. */
  count: number
}

const refused = (method: string, path: string, kind: Faults["kind"]) =>
  PlatformError.systemError({
    _tag: "Unknown",
    module: "FileSystem",
    method,
    pathOrDescriptor: path,
    description: kind === "full" ? "ENOSPC: no space left on device" : "the machine is off"
  })

/** The system's files without waiting for the disk: what is lost when the power fails is not looked at here. */
export const unsynced: Layer.Layer<FileSystem.FileSystem> = Layer.effect(
  FileSystem.FileSystem,
  Effect.map(FileSystem.FileSystem, (fs) =>
    FileSystem.FileSystem.of({
      ...fs,
      open: (path, options) =>
        Effect.map(fs.open(path, options), (file) => ({
          ...file,
          stat: file.stat,
          read: (buffer) => file.read(buffer),
          writeAll: (bytes) => file.writeAll(bytes),
          sync: Effect.void
        }))
    }))
).pipe(Layer.provide(NodeFileSystem.layer))

/** Counts every change to the disk and fails those after the first `faults.after`. */
export const faulty = (faults: Faults): Layer.Layer<FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => {
      const change = <A, E, R>(method: string, path: string, needsRoom: boolean, act: Effect.Effect<A, E, R>) =>
        Effect.suspend((): Effect.Effect<A, E | PlatformError.PlatformError, R> => {
          if (faults.kind === "full" && !needsRoom) return act
          return faults.count++ < faults.after ? act : Effect.fail(refused(method, path, faults.kind))
        })
      const opened = (path: string, file: FileSystem.File): FileSystem.File => ({
        ...file,
        stat: file.stat,
        sync: file.sync,
        read: (buffer) => file.read(buffer),
        writeAll: (bytes) =>
          change("writeAll", path, true, file.writeAll(bytes)).pipe(
            Effect.tapError(() => Effect.ignore(file.writeAll(bytes.subarray(0, bytes.length >> 1))))
          )
      })
      return FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) =>
          Effect.map(
            options?.flag === undefined || options.flag === "r"
              ? fs.open(path, options)
              : change("open", path, true, fs.open(path, options)),
            (file) => opened(path, file)
          ),
        makeDirectory: (path, options) => change("makeDirectory", path, true, fs.makeDirectory(path, options)),
        // Of a folder, file by file, as the system does.
        remove: Effect.fnUntraced(function*(path, options) {
          const inside = options?.recursive === true && (yield* fs.exists(path))
            ? yield* Effect.orElseSucceed(fs.readDirectory(path, { recursive: true }), () => [])
            : []
          for (const name of inside.toSorted((a, b) => b.split("/").length - a.split("/").length)) {
            yield* change("remove", path, false, fs.remove(join(path, name), options))
          }
          yield* change("remove", path, false, fs.remove(path, options))
        }),
        rename: (from, to) => change("rename", from, false, fs.rename(from, to))
      })
    })
  ).pipe(Layer.provide(unsynced))

/** Folders that are removed after the tests of a file. */
export const folders = (name: string) => {
  const root = mkdtempSync(join(tmpdir(), `keel-${name}-`))
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  let count = 0
  return () => join(root, String(count++))
}
