import type * as Schema from "effect/Schema"
import { createRequire } from "node:module"
import type * as Re2 from "re2js"
import { Check, needsAnswer, type Verifier } from "../../dsl/Verifier.ts"
import { type CompletionRow, type PromptRow, wordsOf } from "../data/rows.ts"
import { ask } from "./asked/ask.ts"
import { languageOf, levelsOf, suiteOf } from "./code/suite.ts"
import { shareIn } from "./consistency.ts"
import { reaches } from "./countdown.ts"
import { follows, instructionsOf, isDetected, unusable } from "./instructions.ts"
import { numbers, plainNumber } from "./mathematics/extract.ts"
import { isSolved } from "./mathematics/mathematics.ts"
import { occurrences, wordRuns } from "./text/words.ts"

/** What is known of a completion besides its text: its prompt's row, and how it was sampled. */
export type Asked = PromptRow & Partial<Pick<CompletionRow, "ended" | "tokens">>

/** The row of a prompt with all its columns, `prompt` and `answer` under these names whatever they are called in the file. */
export interface VerifiedRow {
  readonly prompt: string
  readonly answer?: string
  readonly [column: string]: Schema.Json | undefined
}

/** A completion to be judged. */
export type Question = Asked & {
  readonly completion: string
  /** The place of its prompt among the rows of the stage, from 1. */
  readonly row: number
}

/**
 * The share of its weight that a verifier gives a completion, in [0, 1] (`dsl/Verifier.ts` describes each check). Pure and total: any
 * two texts get a fixed number, and a row without the answer or the column that a verifier needs gets 0.
 */
export const verify = (verifier: Check, asked: Asked, completion: string): number => {
  const { answer, columns = {}, ended, tokens } = asked
  const size = (unit: "tokens" | "words" | "characters"): number | undefined =>
    unit === "tokens" ? tokens : unit === "words" ? wordsOf(completion).length : completion.length
  return Number(Check.match(verifier, {
    FinalAnswer: ({ marker }) => {
      const said = lineAfter(marker, completion)
      return said !== undefined && answer !== undefined && equal(said, lineAfter(marker, answer) ?? answer)
    },
    LastNumber: () => {
      const said = lastNumber(completion)
      const wanted = answer === undefined ? undefined : lineAfter("####", answer) ?? answer
      return said !== undefined && wanted !== undefined && number(wanted) !== undefined && equal(said, wanted)
    },
    Keywords: () => {
      const wanted = wordsOf(answer ?? "")
      const said = new Set(wordsOf(completion))
      return wanted.length > 0 && wanted.every((word) => said.has(word))
    },
    Format: ({ parts }) => {
      let at = 0
      for (const part of parts) {
        const found = completion.indexOf(part, at)
        if (found < 0 || completion.split(part).length !== 2) return false
        at = found + part.length
      }
      return completion.slice(at).trim() === ""
    },
    Mathematics: ({ guess }) => answer !== undefined && isSolved(completion, answer, guess),
    Instructions: ({ instructions, loose, partly }) => {
      const given = instructions ?? instructionsOf(columns)
      if (given === undefined || given.length === 0) return 0
      const followed = given.filter(({ id, kwargs }) =>
        follows(id, kwargs, completion, loose ? "loose" : "strict")
      ).length
      return partly ? followed / given.length : followed === given.length
    },
    LanguageConsistency: ({ language }) => shareIn(language, completion),
    TargetLength: ({ alpha, delta, shape, target = columns["target_length"], unit }) => {
      const long = size(unit)
      if (long === undefined || typeof target !== "number") return 0
      return share(shape === "exact" ? 1 - alpha * Math.abs(target - long) : alpha * (target - long) + delta)
    },
    Overlong: ({ buffer, max, unit }) => {
      const long = size(unit)
      return long === undefined ? 0 : share((max - long) / buffer)
    },
    NoRepetition: ({ n }) => {
      const words = wordRuns(completion.toLowerCase())
      if (words.length < n) return 1
      const runs = words.slice(n - 1).map((_, i) => words.slice(i, i + n).join(" "))
      return new Set(runs).size / runs.length
    },
    Pattern: ({ pattern, whole }) => {
      const compiled = compile(pattern)
      return compiled !== null && (whole ? compiled.matcher(completion).matches() : compiled.matcher(completion).find())
    },
    JsonSchema: ({ schema }) => ask({ kind: "schema", schema, text: codeIn(completion) ?? completion }) === true,
    ExactMatch: ({ loose }) => {
      const text = (written: string) => wordsOf(loose ? bare(written) : written).join(" ")
      return answer !== undefined && text(answer) !== "" && text(completion) === text(answer)
    },
    Countdown: () => {
      const { numbers, target } = columns
      return isNumbers(numbers) && typeof target === "number" && reaches(completion, numbers, target)
    },
    LetterCount: () => {
      const { letter, word } = columns
      const said = lastNumber(completion)
      return typeof letter === "string" && typeof word === "string" && letter !== "" && said !== undefined &&
        equal(said, String(occurrences(word, letter)))
    },
    Ended: () => ended === true
  }))
}

/** Why no completion of the row can pass the check, and the remedy. */
export interface Unreachable {
  readonly problem: string
  readonly remedy: string
}

/** The answer that the check needs is not there. */
export const unanswered = (verifier: Verifier, { answer }: PromptRow): Unreachable | null =>
  answer !== undefined || !needsAnswer(verifier) ? null : {
    problem: `has no answer, and ${verifier._tag} compares with one`,
    remedy: 'Say which field it is in, as in Source.file("…", { fields: { answer: "final" } }).'
  }

/** Null when some completion of the row may pass the check. */
export const unreachable = (verifier: Verifier, row: PromptRow): Unreachable | null => {
  const missing = unanswered(verifier, row)
  if (missing !== null) return missing
  const never = neverHolds(verifier, row)
  return never === null ? null : { ...never, problem: `${never.problem}, so ${verifier._tag} can never hold` }
}

const lacks = (column: string, kind: string): Unreachable => ({
  problem: `has no ${kind} in its column "${column}"`,
  remedy: `Add the column "${column}" to the rows.`
})

const unknownLanguage = (language: string): Unreachable => ({
  problem: `is to be in the language ${language}, which is not detected`,
  remedy: "Give an ISO 639-1 code of a language with many speakers, such as en."
})

const neverHolds = (verifier: Verifier, { answer = "", columns = {} }: PromptRow): Unreachable | null => {
  switch (verifier._tag) {
    case "FinalAnswer":
    case "Keywords":
    case "ExactMatch":
    case "Mathematics": {
      const wanted = verifier._tag === "FinalAnswer" ? lineAfter(verifier.marker, answer) ?? answer : answer
      const empty = (verifier._tag === "ExactMatch" && verifier.loose ? bare(wanted) : wanted).trim() === ""
      return empty ? { problem: "has an empty answer", remedy: "Leave such rows out, or name another field." } : null
    }
    case "LastNumber": {
      const wanted = lineAfter("####", answer) ?? answer
      return number(wanted) !== undefined ? null : {
        problem: `has the answer ${shown(wanted)}, which is no number`,
        remedy: "Name a column that holds a number alone or after ####, or compare texts by Verifier.exactMatch()."
      }
    }
    case "Instructions": {
      const given = verifier.instructions ?? instructionsOf(columns)
      if (given === undefined || given.length === 0) {
        return lacks("instruction_id_list", "list of instructions, with as many kwargs,")
      }
      const problem = given.map(({ id, kwargs }) => unusable(id, kwargs)).find((one) => one !== null)
      return problem === undefined ? null : {
        problem: `has an instruction that cannot be checked: ${problem}`,
        remedy: "Correct the instruction, or leave the row out."
      }
    }
    case "LanguageConsistency":
      return isDetected(verifier.language) ? null : unknownLanguage(verifier.language)
    case "TargetLength":
      return typeof (verifier.target ?? columns["target_length"]) === "number" ? null : lacks("target_length", "number")
    case "Countdown":
      if (!isNumbers(columns["numbers"])) return lacks("numbers", "list of numbers")
      return typeof columns["target"] === "number" ? null : lacks("target", "number")
    case "LetterCount":
      if (typeof columns["letter"] !== "string") return lacks("letter", "text")
      return typeof columns["word"] === "string" ? null : lacks("word", "text")
    case "Code": {
      const suite = suiteOf(columns, languageOf(columns, verifier.language) ?? undefined)
      if (suite === null) {
        return {
          problem: "has no tests",
          remedy: 'Add them in the columns "test", "test_list", "tests", or "inputs" and "outputs".'
        }
      }
      if (languageOf(columns, verifier.language) === null) {
        return {
          problem: `is in the language ${shown(String(columns["language"]))}, which is not run`,
          remedy: 'The column "language" may have python, javascript or typescript. Leave other rows out.'
        }
      }
      const graded = verifier.credit === "strict" || verifier.credit === "soft"
      return graded && levelsOf(columns, suite) === null
        ? lacks("test_difficulty", "list of numbers, one for each test of a list of tests,")
        : null
    }
    case "Pattern":
      return compile(verifier.pattern) !== null ? null : {
        problem: `cannot match ${verifier.pattern}, which is no regular expression of RE2`,
        remedy: "Leave out look-around and back references (github.com/google/re2/wiki/Syntax)."
      }
    default:
      return null
  }
}

const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

const isNumbers = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "number")

const share = (x: number): number => Math.min(1, Math.max(0, x))

/** Without case, and with spaces for punctuation. */
const bare = (text: string): string => text.toLowerCase().replace(/[\p{P}\p{S}]+/gu, " ")

/** The text of the last code block. */
const codeIn = (text: string): string | undefined => {
  const parts = text.split("```")
  return parts.length < 3
    ? undefined
    : parts[parts.length % 2 === 1 ? parts.length - 2 : parts.length - 3]!.replace(/^\w*\n/u, "")
}

const compiled = new Map<string, Re2.RE2JS | null>()
/** Null when it is no regular expression of RE2. The library is loaded at the first pattern. */
const compile = (pattern: string): Re2.RE2JS | null => {
  const known = compiled.get(pattern)
  if (known !== undefined) return known
  const { RE2JS } = createRequire(import.meta.url)("re2js") as typeof Re2
  let made: Re2.RE2JS | null
  try {
    made = RE2JS.compile(pattern)
  } catch {
    made = null
  }
  compiled.set(pattern, made)
  return made
}

export const lastNumber = (text: string): string | undefined => text.match(numbers)?.at(-1)

/** The rest of the line after the last marker. */
export const lineAfter = (marker: string, text: string): string | undefined => {
  const at = text.lastIndexOf(marker)
  return at < 0 ? undefined : text.slice(at + marker.length).split("\n", 1)[0]!
}

const whole = new RegExp(`^${plainNumber}$`, "u")

/**
 * A decimal number in one spelling: `+1,000.50` is `1000.5`. Text, not floating point, so that numbers of any length are compared to the
 * last digit. A currency sign before it and a full stop after it are not part of it.
 */
const number = (text: string): string | undefined => {
  const bare = text.trim().replace(/^\$/u, "").replace(/\.$/u, "")
  if (!whole.test(bare)) return undefined
  const [integer = "", decimals = ""] = bare.replaceAll(",", "").replace(/^[+-]/u, "").split(".")
  const digits = `${integer.replace(/^0+(?=\d)/u, "")}.${decimals.replace(/0+$/u, "")}`.replace(/\.$/u, "")
  return bare.startsWith("-") && digits !== "0" ? `-${digits}` : digits
}

export const equal = (said: string, answer: string): boolean => {
  const [a, b] = [number(said), number(answer)]
  if (a !== undefined && b !== undefined) return a === b
  const text = wordsOf(said).join(" ")
  return text !== "" && text === wordsOf(answer).join(" ")
}
