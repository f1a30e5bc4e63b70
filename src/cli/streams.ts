/**
 * Standard output and standard error that fail. A reader that went away (`keel run … | head -1`) ends nothing: a run is there for its
 * folder, and goes on, as it does without standard error. Another failure of standard output, such as a full disk, is said, and the
 * exit code is 1.
 */
import { Console } from "node:console"
import { problemOf } from "../store/systemFailure.ts"

process.stderr.on("error", () => {})
process.stdout.on("error", ({ code = "unknown" }: NodeJS.ErrnoException) => {
  if (code === "EPIPE" || process.exitCode === 1) return
  process.exitCode = 1
  process.stderr.write(`\nStandard output is incomplete: ${problemOf(code)} (${code})\n`)
})

/** Node's own console keeps failures to itself. */
export const strict = new Console({ stdout: process.stdout, stderr: process.stderr, ignoreErrors: false })
