/**
 * The 25 instructions of IFEval (Zhou et al. 2023, arXiv 2311.07911, table 1), as their reference checker reads them: strict on the
 * text, or loose on any of its eight variants without the first line, the last line and the asterisks.
 */
import type { Columns } from "../data/rows.ts"
import { ask } from "./asked/ask.ts"
import { hasWords, occurrences, sentencesOf, treebankWords, wordRuns } from "./text/words.ts"

/** The arguments of an instruction, under IFEval's names. */
export type Arguments = Readonly<Record<string, unknown>>

type Check = (text: string, given: Given) => boolean

/** Reads the arguments of an instruction; throws `Lacking` when one is absent. */
interface Given {
  readonly count: (name: string) => number
  readonly text: (name: string) => string
  readonly texts: (name: string) => ReadonlyArray<string>
  /** Whether `n` is `less than` or `at least` the count `name`, as the argument `relation` says. */
  readonly holds: (n: number, name: string, relation?: string) => boolean
}

class Lacking extends Error {}

const given = (args: Arguments): Given => {
  const read = <A>(name: string, is: (value: unknown) => value is A): A => {
    const value = Object.hasOwn(args, name) ? args[name] : undefined
    if (!is(value)) throw new Lacking(name)
    return value
  }
  const isText = (value: unknown): value is string => typeof value === "string"
  const isCount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)
  const isTexts = (value: unknown): value is ReadonlyArray<string> => Array.isArray(value) && value.every(isText)
  const isRelation = (value: unknown): value is string => value === "less than" || value === "at least"
  return {
    count: (name) => read(name, isCount),
    text: (name) => read(name, isText),
    texts: (name) => read(name, isTexts),
    holds: (n, name, relation = "relation") =>
      read(relation, isRelation) === "less than" ? n < read(name, isCount) : n >= read(name, isCount)
  }
}

/** `[…]` within a line, each as short as can be. */
const placeholders = (line: string): number => {
  let found = 0
  for (let at = line.indexOf("["); at >= 0; at = line.indexOf("[", at)) {
    at = line.indexOf("]", at) + 1
    if (at === 0) break
    found++
  }
  return found
}

/** Lines that begin with `*` or `-`; after a `*` alone, the next line is its text. */
const bullets = (text: string): number => {
  const lines = text.split("\n").map((line) => line.trim())
  const stars = lines.filter((line, i) => line === "*" ? i + 1 < lines.length : /^\*[^*]/u.test(line)).length
  return stars + lines.filter((line) => line.startsWith("-")).length
}

/** What stands in `<<…>>`, the outermost of a line. */
const titles = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => line.includes("<<")).map((line) =>
    line.slice(line.indexOf("<<") + 2, Math.max(0, line.lastIndexOf(">>")))
  )
    .filter((title) => trimmed(title, "<", ">").trim() !== "")

/** Without the characters `left` at its beginning and `right` at its end. */
const trimmed = (text: string, left: string, right = left): string => {
  let [from, to] = [0, text.length]
  while (from < to && text[from] === left) from++
  while (to > from && text[to - 1] === right) to--
  return text.slice(from, to)
}

/** It has letters with case, all of them in this case. */
const isUpper = (text: string): boolean => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)
const isLower = (text: string): boolean => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)

/** A text that says too little about its language follows the instruction. */
const isIn = (language: string, text: string): boolean => ask({ kind: "language", language, text }) ?? true

/** The parts between dividers; undefined when one between two dividers is empty. */
const divided = (text: string, divider: string | RegExp): ReadonlyArray<string> | undefined => {
  const parts = text.split(divider).map((part) => part.trim())
  if (parts.slice(1, -1).includes("")) return undefined
  return parts.filter((part) => part !== "")
}

const options = ["My answer is yes.", "My answer is no.", "My answer is maybe."]
const fences = /^```(?:json|Json|JSON)?|```$/gu
const isJson = (text: string): boolean => {
  try {
    JSON.parse(text.trim().replace(fences, ""))
    return true
  } catch {
    return false
  }
}

const checks = {
  "keywords:existence": (text, { texts }) => texts("keywords").every((word) => occurrences(text, word) > 0),
  "keywords:frequency": (text, { holds, text: at }) => holds(occurrences(text, at("keyword").trim()), "frequency"),
  "keywords:forbidden_words": (text, { texts }) => !texts("forbidden_words").some((word) => hasWords(text, word)),
  "keywords:letter_frequency": (text, { holds, text: at }) =>
    holds(occurrences(text, at("letter").trim()), "let_frequency", "let_relation"),
  "language:response_language": (text, { text: at }) => isIn(at("language"), text),
  "length_constraints:number_sentences": (text, { holds }) => holds(sentencesOf(text).length, "num_sentences"),
  "length_constraints:number_paragraphs": (text, { count }) =>
    divided(text, /\s?\*{3}\s?/u)?.length === count("num_paragraphs"),
  "length_constraints:number_words": (text, { holds }) => holds(wordRuns(text).length, "num_words"),
  "length_constraints:nth_paragraph_first_word": (text, { count, text: at }) => {
    const paragraphs = text.split("\n\n")
    const full = paragraphs.filter((paragraph) => paragraph.trim() !== "").length
    const [nth, wanted] = [count("nth_paragraph"), at("first_word").toLowerCase()]
    const first = paragraphs[nth - 1]?.trim().split(/\s/u, 1)[0]!.replace(/^'*"*/u, "")
    return full === count("num_paragraphs") && nth <= full &&
      first?.split(/[.,?!'"]/u, 1)[0]!.toLowerCase() === wanted
  },
  "detectable_content:number_placeholders": (text, { count }) =>
    text.split("\n").reduce((sum, line) => sum + placeholders(line), 0) >= count("num_placeholders"),
  "detectable_content:postscript": (text, { text: at }) => {
    const marker = at("postscript_marker").trim()
    const lower = text.toLowerCase()
    if (marker === "P.P.S") return /p\.\s?p\.\s?s/u.test(lower)
    return marker === "P.S." ? /p\.\s?s\./u.test(lower) : lower.includes(marker.toLowerCase())
  },
  "detectable_format:number_bullet_lists": (text, { count }) => bullets(text) === count("num_bullets"),
  "detectable_format:constrained_response": (text) => options.some((option) => text.includes(option)),
  "detectable_format:number_highlighted_sections": (text, { count }) =>
    [/\*[^\n*]*\*/gu, /\*\*[^\n*]*\*\*/gu].flatMap((pattern) => text.match(pattern) ?? [])
      .filter((section) => section.replaceAll("*", "").trim() !== "").length >= count("num_highlights"),
  "detectable_format:multiple_sections": (text, given) => {
    const parts = text.split(given.text("section_spliter").trim())
    return parts.slice(1).filter((part) => /^\s?\p{Nd}/u.test(part)).length >= given.count("num_sections")
  },
  "detectable_format:json_format": isJson,
  "detectable_format:title": (text) => titles(text).length > 0,
  "combination:two_responses": (text) => {
    const responses = divided(text, "******")
    return responses?.length === 2 && responses[0] !== responses[1]
  },
  "combination:repeat_prompt": (text, { text: at }) =>
    text.trim().toLowerCase().startsWith(at("prompt_to_repeat").trim().toLowerCase()),
  "startend:end_checker": (text, { text: at }) =>
    trimmed(text.trim(), '"').toLowerCase().endsWith(at("end_phrase").trim().toLowerCase()),
  "startend:quotation": (text) => /^"[^]*"$/u.test(text.trim()),
  "change_case:capital_word_frequency": (text, { holds }) =>
    holds(treebankWords(text).filter(isUpper).length, "capital_frequency", "capital_relation"),
  "change_case:english_capital": (text) => isUpper(text) && isIn("en", text),
  "change_case:english_lowercase": (text) => isLower(text) && isIn("en", text),
  "punctuation:no_comma": (text) => !text.includes(",")
} satisfies Record<string, Check>

export type InstructionId = keyof typeof checks

const isInstruction = (id: string): id is InstructionId => Object.hasOwn(checks, id)

/** Whether texts in the language (ISO 639-1) are told from others. */
export const isDetected = (language: string): boolean => ask({ kind: "language", language, text: "words" }) !== null

/** Why an instruction cannot be checked: its name or an argument; null when it can. */
export const unusable = (id: string, args: Arguments): string | null => {
  if (!isInstruction(id)) return `${id} is no instruction of IFEval`
  const check: Check = checks[id]
  try {
    check("text", given(args))
  } catch (error) {
    if (error instanceof Lacking) return `${id} needs ${error.message}`
    throw error
  }
  const language = id === "language:response_language" ? String(args["language"]) : "en"
  return language === "en" || isDetected(language) ? null : `the language ${language} is not detected`
}

const followed = (id: string, args: Arguments, text: string): boolean => {
  if (!isInstruction(id) || text.trim() === "") return false
  try {
    const check: Check = checks[id]
    return check(text, given(args))
  } catch (error) {
    if (error instanceof Lacking) return false
    throw error
  }
}

/** The text, and the text without the first line, the last line, both; each also without asterisks. */
const variants = (text: string): ReadonlyArray<string> => {
  const last = Math.max(0, text.lastIndexOf("\n"))
  const first = text.includes("\n") ? text.indexOf("\n") + 1 : text.length
  const cut = [text.slice(first), text.slice(0, last), text.slice(first, last)].map((kept) => kept.trim())
  return [...new Set([text, ...cut].flatMap((variant) => [variant, variant.split("*").join("")]))]
}

/** Whether the completion follows the instruction. */
export const follows = (id: string, args: Arguments, completion: string, how: "strict" | "loose"): boolean =>
  how === "strict"
    ? followed(id, args, completion)
    : variants(completion).some((variant) => followed(id, args, variant))

/** IFEval's columns as a list; undefined when they are not there or do not fit. */
export const instructionsOf = (
  columns: Columns
): ReadonlyArray<{ readonly id: string; readonly kwargs: Arguments }> | undefined => {
  const { instruction_id_list: ids, kwargs } = columns
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === "string")) return undefined
  if (!Array.isArray(kwargs) || kwargs.length !== ids.length) return undefined
  if (!kwargs.every((one) => typeof one === "object" && one !== null && !Array.isArray(one))) return undefined
  return ids.map((id, i) => ({ id, kwargs: kwargs[i] }))
}
