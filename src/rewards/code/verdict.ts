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

/** Which of the outputs a program prints the output of each input; after one failure all or nothing is known. */
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
  let late = false
  for (const { input, output } of pairs) {
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
    if (credit === "all" && !passed.at(-1)) break
  }
  return { passed: [...passed, ...pairs.slice(passed.length).map(() => false)], late }
})

/** The score of a completion in [0, 1]; 0 of a row without tests. */
const codeVerdict = Effect.fnUntraced(function*(
  stage: string,
  verifier: Code,
  { columns = {}, completion, prompt }: Question
) {
  const suite = suiteOf(columns)
  const language = languageOf(columns, verifier.language)
  if (suite === null || language === null) return 0
  const interpreter = yield* interpreterOf(stage, language)
  const code = lastBlock(completion) ?? completion
  const levels = levelsOf(columns, suite)
  const graded = verifier.credit === "strict" || verifier.credit === "soft"
  if (graded && levels === null) return 0
  const score = (passed: ReadonlyArray<boolean>): number => credited(verifier.credit, passed, levels ?? [])
  if (suite.kind === "pairs") {
    const { late, passed } = yield* passedPairs(verifier, language, interpreter, suite.pairs, code)
    if (late) wasLate()
    return score(passed)
  }
  const { complete, late, passed } = yield* unitTests(
    language,
    interpreter,
    { ...suite, prompt, code },
    limitsOf(verifier, interpreter),
    verifier.memory
  )
  if (late) wasLate()
  // Tests that were not reached are failures.
  const missing = Math.max(suite.tests.length - passed.length, complete || passed.includes(false) ? 0 : 1)
  return score([...passed, ...Array.from({ length: missing }, () => false)])
})

/** Two processes take turns for most of a verdict. */
const concurrency = availableParallelism()

export const codeVerdicts = (
  stage: string,
  verifier: Code,
  questions: ReadonlyArray<Question>
): Effect.Effect<ReadonlyArray<number>, NoSandbox> =>
  Effect.forEach(questions, (question) => codeVerdict(stage, verifier, question), { concurrency })
