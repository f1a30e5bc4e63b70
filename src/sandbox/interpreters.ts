/** The interpreters of the languages that programs may be in, as a sandbox runs them. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { realpathSync } from "node:fs"
import { NoIsolation } from "./sandbox.ts"

export interface Interpreter {
  readonly path: string
  /** Folders and files that it is made of. */
  readonly reads: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** MiB that it takes itself: reserved, most of it never used. */
  readonly memory: number
  /** Processes and threads that it takes itself. */
  readonly processes: number
}

/** Behind a name on `PATH` there may be a script that looks for the interpreter, so it is asked itself. */
const question = `
import json, os, site, sys
paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *filter(os.path.isdir, sys.path)]
print(json.dumps([sys.executable, sys.version_info >= (3, 9), [*paths, *map(os.path.realpath, paths)], site.getsitepackages()]))
`

let found: Promise<Interpreter | NoIsolation> | undefined

const look = (): Promise<Interpreter | NoIsolation> =>
  new Promise((resolve) => {
    const none = (problem: string): void =>
      resolve(new NoIsolation({ problem, remedy: "Install Python 3.9 or later, so that python3 is on the PATH." }))
    execFile("python3", ["-I", "-c", question], { timeout: 20_000 }, (error, stdout) => {
      if (error !== null) return none("there is no python3 that runs")
      const [path, enough, paths, packages] = JSON.parse(stdout) as [
        string,
        boolean,
        ReadonlyArray<string>,
        ReadonlyArray<string>
      ]
      if (!enough) return none("python3 is older than 3.9")
      const folders = [...new Set([...paths, realpathSync(path)])].filter((one) => one !== "/")
      const outer = folders.filter((one) => !folders.some((other) => other !== one && one.startsWith(`${other}/`)))
      resolve({
        path,
        reads: outer.filter((one) => !`${one}/`.startsWith("/usr/")),
        // Sets have the same order twice; packages are found without the module `site`, which takes long to look for them.
        env: { PYTHONHASHSEED: "0", PYTHONPATH: packages.join(":") },
        memory: 64,
        processes: 1
      })
    })
  })

/** The `python3` of the `PATH`. */
export const python: Effect.Effect<Interpreter, NoIsolation> = Effect.suspend(() =>
  Effect.flatMap(
    Effect.promise(() => found ??= look()),
    (one) => one instanceof NoIsolation ? Effect.fail(one) : Effect.succeed(one)
  )
)

/** The Node that runs this. */
export const node: Interpreter = (() => {
  const path = realpathSync(process.execPath)
  return { path, reads: [path], env: {}, memory: 768, processes: 16 }
})()
