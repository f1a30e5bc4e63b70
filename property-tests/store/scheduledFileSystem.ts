import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, FileSystem, Layer } from "effect"
import { join } from "node:path"

/** A process of a test: every call of its file system waits until it is its turn. */
export interface Process {
  /** `frozen` processes have no turn until they are thawed; `dead` processes have none ever again. */
  state: "running" | "frozen" | "dead" | "ended"
  /** Gives it its turn: one call, to its end. */
  turn: (() => Promise<void>) | undefined
}

export const newProcess = (): Process => ({ state: "running", turn: undefined })

/** The file system of a process. A folder is removed file by file, as the system does. */
export const scheduled = (process: Process): Layer.Layer<FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => {
      const inTurn = <A, E, R>(act: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.flatMap(
          Effect.callback<() => void>((resume) => {
            process.turn = () =>
              new Promise((ended) => {
                process.turn = undefined
                resume(Effect.succeed(ended))
              })
          }),
          (ended) => Effect.ensuring(act, Effect.sync(ended))
        )
      const opened = (file: FileSystem.File): FileSystem.File => ({
        ...file,
        stat: file.stat,
        // The order of calls is what counts here, and this one takes longest.
        sync: Effect.void,
        read: (buffer) => inTurn(file.read(buffer)),
        writeAll: (bytes) => inTurn(file.writeAll(bytes))
      })
      return FileSystem.FileSystem.of({
        ...fs,
        exists: (path) => inTurn(fs.exists(path)),
        stat: (path) => inTurn(fs.stat(path)),
        readDirectory: (path, options) => inTurn(fs.readDirectory(path, options)),
        readFileString: (path, encoding) => inTurn(fs.readFileString(path, encoding)),
        writeFileString: (path, text, options) => inTurn(fs.writeFileString(path, text, options)),
        open: (path, options) => Effect.map(inTurn(fs.open(path, options)), opened),
        makeDirectory: (path, options) => inTurn(fs.makeDirectory(path, options)),
        remove: Effect.fnUntraced(function*(path, options) {
          const inside = options?.recursive === true && (yield* fs.exists(path))
            ? yield* Effect.orElseSucceed(fs.readDirectory(path, { recursive: true }), () => [])
            : []
          for (const name of inside.toSorted((a, b) => b.split("/").length - a.split("/").length)) {
            yield* inTurn(fs.remove(join(path, name), options))
          }
          yield* inTurn(fs.remove(path, options))
        }),
        rename: (from, to) => inTurn(fs.rename(from, to))
      })
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
