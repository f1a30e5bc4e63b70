/**
 * Tries mutants in a copy of the repository (the working directory), one after the other in one vitest: reads `{ file, text, tests
 * }` a line from standard input, answers `killed`, `survived` or `timed out` (nothing failed but by its time limit) a line. The copy is thrown away afterwards, so nothing is put back
 * but the file itself.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { createInterface } from "node:readline"
import { createVitest } from "vitest/node"

interface Request {
  readonly file: string
  readonly text: string
  readonly tests: ReadonlyArray<string>
}

const vitest = await createVitest("test", {
  watch: false,
  bail: 1,
  reporters: [{}],
  fileParallelism: false,
  isolate: false,
  testTimeout: 20_000
})
await vitest.standalone()

for await (const line of createInterface({ input: process.stdin })) {
  const { file, tests, text } = JSON.parse(line) as Request
  const path = resolve(file)
  const original = readFileSync(path, "utf8")
  writeFileSync(path, text)
  vitest.invalidateFile(path)
  const specifications = await vitest.globTestSpecifications([...tests])
  const { testModules, unhandledErrors } = await vitest.rerunTestSpecifications(specifications)
  const failed = testModules.filter((module) => !module.ok())
  const errors = failed.flatMap((module) => [
    ...module.errors(),
    ...[...module.children.allTests("failed")].flatMap((test) => test.result().errors ?? [])
  ])
  const isLate = (error: { readonly message: string }) => /^(Test|Hook) timed out in /u.test(error.message)
  const late = unhandledErrors.length === 0 && errors.length > 0 && errors.every(isLate)
  const killed = unhandledErrors.length > 0 || failed.length > 0
  writeFileSync(path, original)
  vitest.invalidateFile(path)
  process.stdout.write(
    `${testModules.length === 0 ? "no tests" : late ? "timed out" : killed ? "killed" : "survived"}\n`
  )
}
await vitest.close()
process.exit(0)
