/**
 * Everything that is checked, in one command (`npm test`): types, lint, format, the texts of compile errors, the tests. All of it
 * runs even when something fails. Arguments go to vitest: `npm test -- property-tests/dsl`. The last line is the count, each
 * tool being one.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("../", import.meta.url))
const environment = {
  ...process.env,
  PATH: `${join(repository, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}`,
  // TSTyche wants TypeScript's JavaScript API, which TypeScript 7 has not; found here, it fetches none.
  TSTYCHE_TYPESCRIPT_MODULE: "typescript-6"
}

const succeeds = (command: string, ...args: ReadonlyArray<string>): boolean => {
  console.log(`\n> ${command} ${args.join(" ")}`)
  const { error, status } = spawnSync(command, args, { cwd: repository, env: environment, stdio: "inherit" })
  if (error !== undefined) console.log(String(error))
  return status === 0
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const vitest = (args: ReadonlyArray<string>): Counts => {
  const folder = mkdtempSync(join(tmpdir(), "keel-tests-"))
  const file = join(folder, "results.json")
  try {
    const ok = succeeds("vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...args)
    const results = JSON.parse(readFileSync(file, "utf8")) as {
      readonly numPassedTests: number
      readonly numFailedTests: number
      readonly numPendingTests: number
      readonly numTodoTests: number
      readonly testResults: ReadonlyArray<{
        readonly status: string
        readonly assertionResults: ReadonlyArray<{ readonly status: string }>
      }>
    }
    // A file that does not load fails without a failing test in it.
    const broken = results.testResults.filter(({ assertionResults, status }) =>
      status === "failed" && !assertionResults.some((one) => one.status === "failed")
    )
    const failed = results.numFailedTests + broken.length
    // An error outside of any test, for example: vitest fails and no test does.
    return {
      passed: results.numPassedTests,
      failed: ok ? failed : Math.max(failed, 1),
      skipped: results.numPendingTests + results.numTodoTests
    }
  } catch (error) {
    console.log(`vitest left no results: ${String(error)}`)
    return { passed: 0, failed: 1, skipped: 0 }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const tools: ReadonlyArray<readonly [command: string, ...args: ReadonlyArray<string>]> = [
  ["tsc", "--noEmit"],
  ["oxlint"],
  ["dprint", "check"],
  ["tstyche"]
]
const failing = tools.filter(([command, ...args]) => !succeeds(command, ...args)).map(([command]) => command)
const tests = vitest(process.argv.slice(2))

const failed = failing.length + tests.failed
if (failing.length > 0) console.log(`\nfailed: ${failing.join(", ")}`)
console.log(
  `\n${tests.passed + tools.length - failing.length} passed, ${failed} failed${
    tests.skipped > 0 ? `, ${tests.skipped} skipped` : ""
  }`
)
process.exitCode = failed > 0 ? 1 : 0
