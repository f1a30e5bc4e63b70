/** The tests of a row, as data sets have them, and the code of a completion. */
import type { Code } from "../../../dsl/Verifier.ts"
import type { Columns } from "../../data/rows.ts"

export interface Pair {
  readonly input: string
  readonly output: string
}

export type Suite =
  | { readonly kind: "pairs"; readonly pairs: ReadonlyArray<Pair> }
  | {
    readonly kind: "unit"
    readonly entry: string | null
    readonly setup: ReadonlyArray<string>
    readonly tests: ReadonlyArray<string>
    readonly text: string | null
  }

const isText = (value: unknown): value is string => typeof value === "string" && value.trim() !== ""
const texts = (value: unknown): ReadonlyArray<string> =>
  isText(value) ? [value] : Array.isArray(value) ? value.filter(isText) : []

/** Some data sets keep a structure as its JSON. */
const opened = (value: unknown): unknown => {
  if (typeof value !== "string" || !/^\s*[[{]/u.test(value)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

const fieldOf = (value: unknown, ...names: ReadonlyArray<string>): unknown =>
  typeof value === "object" && value !== null
    ? names.map((name) => (value as Readonly<Record<string, unknown>>)[name]).find((one) => one !== undefined)
    : undefined

const line = (value: unknown): string | null =>
  typeof value === "string"
    ? value
    : Array.isArray(value) && value.every((one) => typeof one === "string")
    ? value.join("\n")
    : null

/** Inputs with their outputs: two lists of the same length, or a list of pairs. */
const pairsOf = (value: unknown): ReadonlyArray<Pair> | null => {
  const given = opened(value)
  const [inputs, outputs] = [fieldOf(given, "inputs", "input"), fieldOf(given, "outputs", "output")]
  const listed = Array.isArray(inputs) && Array.isArray(outputs) && inputs.length === outputs.length
    ? inputs.map((input, i) => [input, outputs[i]])
    : Array.isArray(given)
    ? given.map((one) => [fieldOf(one, "input", "stdin"), fieldOf(one, "output", "expected_output", "stdout")])
    : []
  const pairs = listed.map(([input, output]) => [line(input), line(output)] as const)
  return pairs.length > 0 && pairs.every(([input, output]) => input !== null && output !== null)
    ? pairs.map(([input, output]) => ({ input: input!, output: output! }))
    : null
}

/**
 * A test of a function by its name, as APPS has them: called with the arguments, of the text `[arguments, output]` in JSON. It may be a method
 * of a class `Solution`; a tuple is a list, and a list of one output is that output.
 */
const calling = (name: string): string => `
import json
def keel_plain(value):
    return [keel_plain(one) for one in value] if type(value) in (list, tuple) else value
def keel_test(text):
    arguments, expected = json.loads(text)
    try: call = Solution().${name}
    except NameError: call = ${name}
    said = keel_plain(call(*arguments))
    assert said == expected or (type(expected) is list and len(expected) == 1 and said == expected[0])
`

/** Tests of the function `fn_name`: lists of arguments with outputs, or of their JSON, an argument a line. */
const callsOf = (value: unknown): Suite | null => {
  const given = opened(value)
  const name = fieldOf(given, "fn_name")
  const [inputs, outputs] = [fieldOf(given, "inputs"), fieldOf(given, "outputs")]
  if (typeof name !== "string" || !/^[A-Za-z_]\w*$/u.test(name)) return null
  if (!Array.isArray(inputs) || !Array.isArray(outputs) || inputs.length !== outputs.length || inputs.length === 0) {
    return null
  }
  try {
    const tests = inputs.map((input: unknown, i) => {
      const [written, output] = [typeof input === "string", outputs[i] as unknown]
      const args = written ? (input as string).split("\n").filter(isText).map((one) => JSON.parse(one)) : input
      if (!Array.isArray(args)) throw new SyntaxError()
      return JSON.stringify([args, written && typeof output === "string" ? JSON.parse(output) : output])
    })
    return {
      kind: "unit",
      entry: null,
      setup: [calling(name)],
      tests: tests.map((one) => `keel_test(${JSON.stringify(one)})`),
      text: null
    }
  } catch {
    return null
  }
}

/** Null of a row without tests in that language. */
export const suiteOf = (columns: Columns, language: Code["language"] | null = "python"): Suite | null => {
  for (const given of [columns, columns["input_output"], columns["test_cases"], columns["tests"], columns["test"]]) {
    if (isText(fieldOf(opened(given), "fn_name"))) return language === "python" ? callsOf(given) : null
    const pairs = pairsOf(given)
    if (pairs !== null) return { kind: "pairs", pairs }
  }
  const entry = isText(columns["entry_point"]) ? columns["entry_point"] : null
  const setup = [...texts(columns["test_imports"]), ...texts(columns["test_setup_code"])]
  for (const name of ["test_list", "tests", "test"]) {
    const given = opened(columns[name])
    if (Array.isArray(given) && given.length > 0 && given.every(isText)) {
      return { kind: "unit", entry, setup, tests: given, text: null }
    }
    if (isText(given)) return { kind: "unit", entry, setup, tests: [], text: given }
  }
  return null
}

const languages: Readonly<Record<string, "python" | "javascript" | "typescript">> = {
  python: "python",
  python3: "python",
  py: "python",
  javascript: "javascript",
  js: "javascript",
  typescript: "typescript",
  ts: "typescript"
}

/** The language of a row: of its column `language`, or else the given language; null of a language that is not known. */
export const languageOf = (columns: Columns, otherwise: Code["language"]): Code["language"] | null => {
  const given = columns["language"]
  return typeof given === "string" ? languages[given.toLowerCase()] ?? null : otherwise
}

/** The last fenced block of Markdown, also one that was cut off before its end; null of a text without any. */
export const lastBlock = (text: string): string | null => {
  let [fence, block, last]: [string | null, Array<string>, string | null] = [null, [], null]
  for (const row of text.split(/\r?\n/u)) {
    const found = /^ {0,3}(`{3,}|~{3,})(.*)$/u.exec(row)
    if (fence === null) {
      if (found === null || (found[1]!.startsWith("`") && found[2]!.includes("`"))) continue
      fence = found[1]!
      block = []
    } else if (found !== null && found[1]!.startsWith(fence) && found[2]!.trim() === "") {
      last = `${block.join("\n")}\n`
      fence = null
    } else block.push(row)
  }
  return fence === null ? last : `${block.join("\n")}\n`
}

/** The lines of an output, without spaces at their ends and without empty lines at its end. */
const linesOf = (text: string): string => text.split("\n").map((one) => one.trimEnd()).join("\n").trimEnd()

export const isSameOutput = (said: string, expected: string): boolean => linesOf(said) === linesOf(expected)

/** The level of difficulty of each test, larger is harder: the row's column `test_difficulty`. */
export const levelsOf = (columns: Columns, suite: Suite): ReadonlyArray<number> | null => {
  const given = columns["test_difficulty"]
  const tests = suite.kind === "pairs" ? suite.pairs.length : suite.tests.length
  return Array.isArray(given) && given.length === tests && given.every((one) => typeof one === "number")
    ? given as ReadonlyArray<number>
    : null
}

/** The share of the score, in [0, 1]; see `Code` of `dsl/Verifier.ts`. */
export const credited = (
  credit: "all" | "share" | "strict" | "soft",
  passed: ReadonlyArray<boolean>,
  levels: ReadonlyArray<number>
): number => {
  if (passed.length === 0) return 0
  const share = (some: ReadonlyArray<boolean>): number => some.filter(Boolean).length / some.length
  if (credit === "all") return Number(passed.every(Boolean))
  if (credit === "share") return share(passed)
  const groups = [...new Set(levels)].toSorted((a, b) => a - b)
    .map((level) => share(passed.filter((_, i) => levels[i] === level)))
  const failing = groups.findIndex((one) => one < 1)
  const score = credit === "soft" ? groups.reduce((sum, one) => sum + one, 0) : failing < 0 ? groups.length : failing
  return score / groups.length
}
