/** Runs mutants: which tests see a file, workers that try them, and what became of each. */
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { type Mutant, mutated } from "./mutants.ts"

export const repository = fileURLToPath(new URL("../../", import.meta.url))

export const textOf = (file: string): string => readFileSync(join(repository, file), "utf8")

/** Every source file under some folders, of those that are there: what others add is found. */
export const sourcesOf = (...folders: ReadonlyArray<string>): ReadonlyArray<string> =>
  folders.flatMap((folder) => {
    try {
      return readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts")).map((name) => join(folder, name)).sort()
    } catch {
      return []
    }
  })

/** The files that a file imports, directly or not. */
export const reached = (file: string, seen = new Set<string>()): ReadonlySet<string> => {
  for (const [, specifier] of textOf(file).matchAll(/from "(\.[^"]*)"/gu)) {
    const to = relative(repository, join(repository, dirname(file), specifier!))
    if (seen.has(to)) continue
    seen.add(to)
    reached(to, seen)
  }
  return seen
}

/** The tests under some folders by the source files that they see, the file's own (by its stem) first. */
export const testsOf = (...folders: ReadonlyArray<string>): (file: string) => ReadonlyArray<string> => {
  const tests = sourcesOf(...folders).filter((name) => name.endsWith(".test.ts"))
    .map((test) => ({ test, sees: reached(test) }))
  return (file) => tests.filter(({ sees }) => sees.has(file)).map(({ test }) => test)
}

export type Outcome = "killed" | "survived" | "timed out" | "no tests"

/** Seconds that the tests of one mutant may take before it counts as endless. */
const patience = 60

/** A worker in its own copy of the sources; one that does not answer in time is ended and replaced. */
const worker = () => {
  const folder = mkdtempSync(join(tmpdir(), "keel-mutants-"))
  for (
    const name of ["dsl", "src", "examples", "property-tests", "package.json", "tsconfig.json", "vitest.config.ts"]
  ) {
    cpSync(join(repository, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"))
  const start = () => {
    const child = spawn(process.execPath, ["property-tests/mutation/worker.ts"], {
      cwd: folder,
      stdio: ["pipe", "pipe", "inherit"]
    })
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
  }
  let running = start()
  return {
    attempt: async (mutant: Mutant, tests: ReadonlyArray<string>): Promise<Outcome> => {
      if (tests.length === 0) return "no tests"
      const text = mutated(textOf(mutant.file), mutant)
      running.child.stdin.write(`${JSON.stringify({ file: mutant.file, text, tests })}\n`)
      // Seconds in which this process ran: a machine that is suspended for a while makes no mutant endless.
      let timer: NodeJS.Timeout | undefined
      let seconds = 0
      const late = new Promise<"timed out">((resolve) => {
        timer = setInterval(() => {
          if (++seconds === patience) resolve("timed out")
        }, 1000)
      })
      const answer = await Promise.race([running.lines.next(), late])
      clearInterval(timer)
      if (answer !== "timed out" && answer.done !== true) return answer.value as Outcome
      running.child.kill("SIGKILL")
      cpSync(join(repository, mutant.file), join(folder, mutant.file))
      running = start()
      return "timed out"
    },
    close: async () => {
      await new Promise<void>((resolve) => {
        running.child.once("exit", () => resolve())
        running.child.stdin.end()
      })
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/**
 * Tries all of them on `workers` processes at a time, then once more, alone, those that timed out beside another; `told` hears of
 * each when it is settled.
 */
export const attempt = async (
  mutants: ReadonlyArray<Mutant>,
  tests: (file: string) => ReadonlyArray<string>,
  { told, workers }: { readonly workers: number; readonly told: (mutant: Mutant, outcome: Outcome) => void }
): Promise<ReadonlyMap<Mutant, Outcome>> => {
  const outcomes = new Map<Mutant, Outcome>()
  const late: Array<Mutant> = []
  const settle = (mutant: Mutant, outcome: Outcome) => {
    outcomes.set(mutant, outcome)
    told(mutant, outcome)
  }
  // One file after the other, so that a worker's cache stays warm.
  const queue = [...mutants]
  await Promise.all(Array.from({ length: Math.min(workers, mutants.length) }, async () => {
    const own = worker()
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const outcome = await own.attempt(mutant, tests(mutant.file))
      if (outcome === "timed out") late.push(mutant)
      else settle(mutant, outcome)
    }
    await own.close()
  }))
  if (late.length > 0) {
    const alone = worker()
    for (const mutant of late) settle(mutant, await alone.attempt(mutant, tests(mutant.file)))
    await alone.close()
  }
  return outcomes
}
