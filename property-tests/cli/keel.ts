/** The command line as a child process. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "vitest"

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts `keel` in the folder `cwd`. */
export const start = (
  args: ReadonlyArray<string>,
  cwd: string
): { readonly child: ChildProcess; readonly ended: Promise<Ended> } => {
  mkdirSync(cwd, { recursive: true })
  const child = spawn(process.execPath, ["--no-warnings", "--max-semi-space-size=4", "--expose-gc", main, ...args], {
    cwd,
    env: { ...process.env, NO_COLOR: "1" }
  })
  let [stdout, stderr] = ["", ""]
  child.stdout.on("data", (data) => stdout += String(data))
  child.stderr.on("data", (data) => stderr += String(data))
  return {
    child,
    ended: new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })))
  }
}

export const keel = (args: ReadonlyArray<string>, cwd: string): Promise<Ended> => start(args, cwd).ended

/** Holds a text against the file that keeps it; UPDATE_GOLDEN=1 writes the file. */
export const golden = (name: string, text: string): void => {
  const path = fileURLToPath(new URL(`../golden/${name}`, import.meta.url))
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  assert.isTrue(existsSync(path), `${name} is missing: run with UPDATE_GOLDEN=1`)
  assert.strictEqual(text, readFileSync(path, "utf8"), `if the change is meant, run with UPDATE_GOLDEN=1`)
}
