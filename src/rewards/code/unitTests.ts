/** Unit tests of a completion: two processes of `python.py` or `javascript.cjs`, each in a sandbox of its own, and a pipe between them. */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import type { Interpreter } from "../../sandbox/interpreters.ts"
import type { Limits } from "../../sandbox/program.ts"
import { running, textOf } from "../../sandbox/sandbox.ts"

export interface Job {
  /** The text that the completion answers or goes on from, where it is code. */
  readonly prompt: string
  readonly code: string
  /** The name that the tests ask for. */
  readonly entry: string | null
  /** Run before the tests. */
  readonly setup: ReadonlyArray<string>
  /** Tests, each by itself. */
  readonly tests: ReadonlyArray<string>
  /** Tests in one text. */
  readonly text: string | null
}

export interface Passed {
  /** A verdict for each test that was found. */
  readonly passed: ReadonlyArray<boolean>
  /** Every test was run to its end. */
  readonly complete: boolean
  /** The first failure. */
  readonly problem: string | null
  /** The completion took more time or memory than it may. */
  readonly late: boolean
}

const text = (file: string): string => readFileSync(new URL(file, import.meta.url), "utf8")
let programs: { readonly python: string; readonly javascript: string } | undefined

const command = (
  language: "python" | "javascript" | "typescript",
  { path }: Interpreter,
  role: "tests" | "candidate",
  memory: number
): readonly [string, ...ReadonlyArray<string>] => {
  programs ??= { python: text("./python.py"), javascript: text("./javascript.cjs") }
  return language === "python"
    ? [path, "-S", "-s", "-B", "-X", "utf8", "-c", programs.python, role]
    : [path, ...nodeFlags(memory), "-e", programs.javascript, role, language]
}

/** Node's own permission model, besides the sandbox. */
export const nodeFlags = (memory: number): ReadonlyArray<string> => [
  "--permission",
  "--allow-fs-read=*",
  "--allow-fs-write=/tmp/*",
  "--no-warnings",
  `--max-old-space-size=${memory}`
]

export const unitTests = (
  language: "python" | "javascript" | "typescript",
  interpreter: Interpreter,
  job: Job,
  limits: Limits,
  memory: number
): Effect.Effect<Passed> =>
  Effect.scoped(Effect.gen(function*() {
    const { env, reads } = interpreter
    const [candidate, tests] = yield* Effect.forEach(
      ["candidate", "tests"] as const,
      (role) => running({ command: command(language, interpreter, role, memory), reads, env, limits })
    )
    candidate!.output.pipe(tests!.input)
    tests!.output.pipe(candidate!.input)
    const bytes = Buffer.from(JSON.stringify(job))
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(bytes.length))
    tests!.extra.write(Buffer.concat([size, bytes]))
    const said = yield* textOf(tests!.extra, limits.output)
    let verdict: Omit<Passed, "late"> = { passed: [], complete: false, problem: "the tests did not end" }
    try {
      verdict = JSON.parse(said ?? "")
    } catch {
      // Nobody but the tests writes there; they were ended before they could.
    }
    if (verdict.complete) return { ...verdict, late: false }
    const { late } = yield* candidate!.ended
    return { ...verdict, late }
  }))
