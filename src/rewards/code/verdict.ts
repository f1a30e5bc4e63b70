/** The verdict on code: its tests run in sandboxes, and the score of the passed tests. */
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import { NoSandbox } from "../../../dsl/Errors.ts"
import type { Code } from "../../../dsl/Verifier.ts"
import { type Interpreter, node, python } from "../../sandbox/interpreters.ts"
import type { Limits } from "../../sandbox/program.ts"
import { isolated, printed } from "../../sandbox/sandbox.ts"
import type { PromptRow } from "../../data/rows.ts"
import { wasLate } from "../asked/ask.ts"
import type { Question } from "../verifier.ts"
import { waiting } from "../waiting.ts"
import { credited, isSameOutput, languageOf, lastBlock, levelsOf, type Suite, suiteOf } from "./suite.ts"
import { nodeFlags, unitTests } from "./unitTests.ts"

type Language = Code["language"]

const interpreterOf = (stage: string, language: Language): Effect.Effect<Interpreter, NoSandbox> =>
  Effect.mapError(
    Effect.andThen(isolated, language === "python" ? python : Effect.succeed(node)),
    ({ problem, remedy }) => new NoSandbox({ stage, language, problem, remedy })
  )

/** Fails where code of the rows cannot be run in isolation. */
export const canRun = (
  stage: string,
  { language }: Code,
  rows: ReadonlyArray<PromptRow> = [{ prompt: "" }]
): Effect.Effect<void, NoSandbox> =>
  Effect.forEach(
    new Set(rows.map(({ columns = {} }) => languageOf(columns, language) ?? language)),
    (one) => interpreterOf(stage, one),
    { discard: true }
  )

const limitsOf = ({ memory, seconds }: Code, own: Interpreter): Limits => ({
  seconds,
  // A program that waits is ended too, and a machine with many other programs has time for an honest one.
  wall: 5 * seconds,
  memory: memory + own.memory,
  processes: 16 + own.processes,
  output: 2 ** 24
})

/** Of a program that reads a file to its end and runs it: `exit` is there without the module `site`. */
const main = `
import builtins, sys
builtins.exit = builtins.quit = sys.exit
sys.path[:] = [one for one in sys.path if one]
with open("/tmp/main.py", encoding="utf-8") as file:
    text = file.read()
exec(compile(text, "main.py", "exec"), {"__name__": "__main__", "__builtins__": builtins})
`

/** Why a program failed that was ended. */
const ended = "too much time or memory"

/** Which of the outputs a program prints the output of each input, and its first failure; after one all or nothing is known. */
const passedPairs = Effect.fnUntraced(function*(
  verifier: Code,
  language: Language,
  interpreter: Interpreter,
  pairs: (Suite & { readonly kind: "pairs" })["pairs"],
  code: string
) {
  const { credit, memory } = verifier
  const { env, path, reads } = interpreter
  const name = `/tmp/main.${language === "python" ? "py" : language === "javascript" ? "js" : "ts"}`
  const command = language === "python"
    ? [path, "-S", "-s", "-B", "-X", "utf8", "-c", main] as const
    : [
      path,
      ...nodeFlags(memory),
      ...(language === "typescript" ? ["--experimental-transform-types"] : []),
      name
    ] as const
  const passed: Array<boolean> = []
  let [late, problem]: [boolean, string | null] = [false, null]
  for (const [i, { input, output }] of pairs.entries()) {
    const found = yield* printed({
      command,
      reads,
      env,
      input,
      files: [{ name, text: code }],
      limits: limitsOf(verifier, interpreter)
    })
    passed.push(found.text !== null && isSameOutput(found.text, output))
    late ||= found.late
    if (!passed.at(-1)) {
      problem ??= `${found.late ? ended : found.text === null ? "an error of the program" : "another output"}: input ${
        i + 1
      }`
    }
    if (credit === "all" && !passed.at(-1)) break
  }
  return { passed: [...passed, ...pairs.slice(passed.length).map(() => false)], late, problem }
})

/** The score of a completion in [0, 1], and the first failure of its tests: a kind, and after a colon its place or its words. */
export interface Tested {
  readonly score: number
  readonly reason: string | null
}

const without = (reason: string): Tested => ({ score: 0, reason })

/** Score 0 of a row without tests. */
const tested = Effect.fnUntraced(function*(
  stage: string,
  verifier: Code,
  { columns = {}, completion, prompt }: Question
) {
  const language = languageOf(columns, verifier.language)
  const suite = suiteOf(columns, language)
  if (suite === null) return without("no tests")
  if (language === null) return without("unknown language")
  const interpreter = yield* interpreterOf(stage, language)
  const code = lastBlock(completion) ?? completion
  const levels = levelsOf(columns, suite)
  const graded = verifier.credit === "strict" || verifier.credit === "soft"
  if (graded && levels === null) return without("no levels of difficulty")
  const made = (passed: ReadonlyArray<boolean>, late: boolean, problem: string | null): Tested => {
    if (late) wasLate()
    return { score: credited(verifier.credit, passed, levels ?? []), reason: passed.every(Boolean) ? null : problem }
  }
  if (suite.kind === "pairs") {
    const { late, passed, problem } = yield* passedPairs(verifier, language, interpreter, suite.pairs, code)
    return made(passed, late, problem)
  }
  const { complete, late, passed, problem } = yield* unitTests(
    language,
    interpreter,
    { ...suite, prompt, code },
    limitsOf(verifier, interpreter),
    verifier.memory
  )
  // Tests that were not reached are failures.
  const missing = Math.max(suite.tests.length - passed.length, complete || passed.includes(false) ? 0 : 1)
  const why = late ? ended : problem ?? "a test failed"
  return made([...passed, ...Array.from({ length: missing }, () => false)], late, why)
})

/** Two processes take turns for most of a verdict. */
const concurrency = availableParallelism()

export const codeTested = (
  stage: string,
  verifier: Code,
  questions: ReadonlyArray<Question>
): Effect.Effect<ReadonlyArray<Tested>, NoSandbox> =>
  waiting(
    stage,
    "the tests of completions",
    questions.length,
    (answered) =>
      Effect.forEach(questions, (question) => Effect.tap(tested(stage, verifier, question), answered), { concurrency })
  )

export const codeVerdicts = (
  ...asked: Parameters<typeof codeTested>
): Effect.Effect<ReadonlyArray<number>, NoSandbox> =>
  Effect.map(codeTested(...asked), (all) => all.map(({ score }) => score))
