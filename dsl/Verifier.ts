/**
 * Verifiable rewards: checks of a completion that a program can make, from the row of the prompt (its `answer` and other columns) where
 * it needs one. A verifier gives a share of its `weight` between 0 and 1, most of them all or nothing; several add up. Pure and total,
 * strict on malformed text. `Verifier.own` is a check of your own, which may give any finite number.
 *
 * A verifier is a *proxy* like a reward model: it can be trained on. The real goal (`Gold.ts`) cannot.
 * Code: `src/rewards/verifier.ts`. In `simulate` every verifier says whether the completion's gold reward is
 * above the mean of its prompt's completions.
 */
import * as Schema from "effect/Schema"
import { Count, Fraction, or, Positive } from "./Training.ts"

const weight = or(Positive, 1)

/**
 * The rest of the line after the last `marker` is the answer: the same number when both are numbers (`1,000.0` is `1000`), else the
 * same text up to white space. GSM8K's marker is `####`. In an answer that has the marker itself, the text after it counts.
 */
export class FinalAnswer extends Schema.TaggedClass<FinalAnswer>()("FinalAnswer", {
  marker: Schema.NonEmptyString,
  weight
}) {}

/** The last number in the completion is the answer, or the number after `####` in it (GSM8K as most code scores it). */
export class LastNumber extends Schema.TaggedClass<LastNumber>()("LastNumber", { weight }) {}

/** Every word of the answer is a word of the completion (IFEval `keywords:existence`, with words whole). */
export class Keywords extends Schema.TaggedClass<Keywords>()("Keywords", { weight }) {}

/**
 * All `parts` occur, each exactly once and in this order, and the last one ends the completion: `["<think>", "</think>"]` and so on
 * (DeepSeek-R1's format reward). Needs no answer.
 */
export class Format extends Schema.TaggedClass<Format>()("Format", {
  parts: Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1, { message: "needs at least one part" })),
  weight
}) {}

/**
 * The final answer has the mathematical meaning of the row's answer. It stands in the last `\boxed{…}`, or after the last `####`,
 * `A:` or `answer is`, or with `guess` it is the last number. Numbers, percentages, units, money, tuples, intervals, sets, matrices,
 * equations and formulas: `0.5` is `\frac12`, `x > 2` is `(2,\infty)`, `(x+1)^2` is `x^2+2x+1`. A decimal of four or more digits may
 * stand for a number without a last digit. Formulas that are not compared in 0.4 s are not equal.
 */
export class Mathematics extends Schema.TaggedClass<Mathematics>()("Mathematics", {
  guess: or(Schema.Boolean, true),
  weight
}) {}

/** An instruction of IFEval by its name, such as `length_constraints:number_words`, with its arguments. */
export const Instruction = Schema.Struct({
  id: Schema.NonEmptyString,
  kwargs: or(Schema.Record(Schema.String, Schema.Json), {})
})

/**
 * The completion follows the row's instructions (IFEval, Zhou et al. 2023, arXiv 2311.07911): its columns `instruction_id_list` and
 * `kwargs`, or `instructions` for every row. All of them, or with `partly` the share of them. `loose` also accepts a completion
 * without its first line, its last line or its asterisks.
 */
export class Instructions extends Schema.TaggedClass<Instructions>()("Instructions", {
  instructions: Schema.optionalKey(
    Schema.Array(Instruction).check(Schema.isMinLength(1, { message: "needs at least one instruction" }))
  ),
  loose: or(Schema.Boolean, false),
  partly: or(Schema.Boolean, false),
  weight
}) {}

/**
 * The share of the completion's words that are in `language` (ISO 639-1, `en`): words in its script, in sentences that are detected as
 * it (language consistency of DeepSeek-R1, arXiv 2501.12948, section 2.3.2). 0 of no words.
 */
export class LanguageConsistency extends Schema.TaggedClass<LanguageConsistency>()("LanguageConsistency", {
  language: Schema.String.check(Schema.isPattern(/^[a-z]{2}$/u, { message: "must be an ISO 639-1 code such as en" })),
  weight
}) {}

const unit = Schema.Literals(["tokens", "words", "characters"])

/**
 * How well the completion keeps to a length n* (L1, Aggarwal and Welleck 2025, arXiv 2503.04697, eq. 1 and 2), in [0, 1]:
 *
 *     exact:  1 − α·|n* − n|          max:  α·(n* − n) + δ
 *
 * n* is `target`, or the row's column `target_length`. L1 multiplies `max` with the correctness; here it is a term of its own.
 */
export class TargetLength extends Schema.TaggedClass<TargetLength>()("TargetLength", {
  shape: Schema.Literals(["exact", "max"]),
  unit,
  target: Schema.optionalKey(Count),
  /** α, per unit of length. */
  alpha: or(Positive, 0.0003),
  /** δ, the reward at the target length of `max`. */
  delta: or(Fraction, 0.5),
  weight
}) {}

/** 1 up to `max` − `buffer`, from there in a line to 0 at `max` (DAPO's soft overlong punishment, arXiv 2503.14476, eq. 13, plus 1). */
export class Overlong extends Schema.TaggedClass<Overlong>()("Overlong", {
  unit,
  max: Count,
  buffer: Count,
  weight
}) {}

/** The share of runs of `n` words that have not occurred before: 1 of a text without repetition. */
export class NoRepetition extends Schema.TaggedClass<NoRepetition>()("NoRepetition", { n: or(Count, 4), weight }) {}

/**
 * A part of the completion, or with `whole` all of it, matches a regular expression of RE2's syntax: without look-around and back
 * references, so that it takes time in proportion to the text. Inline flags: `(?i)` ignores case, `(?s)` lets `.` be a line break.
 */
export class Pattern extends Schema.TaggedClass<Pattern>()("Pattern", {
  pattern: Schema.NonEmptyString,
  whole: or(Schema.Boolean, false),
  weight
}) {}

/** The completion, or the last code block in it, is JSON that the schema allows (draft 2020-12). */
export class JsonSchema extends Schema.TaggedClass<JsonSchema>()("JsonSchema", {
  schema: or(Schema.Record(Schema.String, Schema.Json), {}),
  weight
}) {}

/** The completion is the answer up to white space; with `loose` also up to case and punctuation. */
export class ExactMatch extends Schema.TaggedClass<ExactMatch>()("ExactMatch", {
  loose: or(Schema.Boolean, false),
  weight
}) {}

/**
 * The completion ends with an expression of + − × ÷ and brackets that has the value of the row's column `target` and uses every number
 * of its column `numbers` exactly once. It stands in the last `<answer>` or `\boxed{…}`, or on the last line; `= 82` may follow.
 */
export class Countdown extends Schema.TaggedClass<Countdown>()("Countdown", { weight }) {}

/** The last number in the completion is how often the row's column `letter` occurs in its column `word`, whatever the case. */
export class LetterCount extends Schema.TaggedClass<LetterCount>()("LetterCount", { weight }) {}

/** The completion ended by itself, before the limit of its length: as `missingEosPenalty`, up to a constant. */
export class Ended extends Schema.TaggedClass<Ended>()("Ended", { weight }) {}

/** Keel's own checks: of the text alone, answered at once. */
export const Check = Schema.Union([
  FinalAnswer,
  LastNumber,
  Keywords,
  Format,
  Mathematics,
  Instructions,
  LanguageConsistency,
  TargetLength,
  Overlong,
  NoRepetition,
  Pattern,
  JsonSchema,
  ExactMatch,
  Countdown,
  LetterCount,
  Ended
]).pipe(Schema.toTaggedUnion("_tag"))
export type Check = typeof Check.Type

/**
 * A verifier from outside Keel: a name, and parameters as JSON. Its implementation (`verifier` of `keel/stage`, given to `run` in `rewards`)
 * sees the row of the prompt with all its columns, and gives a number (true is 1), a promise of one or an `Effect` of one, times `weight`.
 * An answer that is not there after `seconds` ends the stage with an error, whose checkpoint stays: a score of 0 would be learnt, and would
 * depend on the speed of the machine. A function that never returns is not ended. Left out, an answer is waited for, and that is said.
 */
export class OwnVerifier extends Schema.TaggedClass<OwnVerifier>()("OwnVerifier", {
  name: Schema.NonEmptyString,
  params: or(Schema.Record(Schema.String, Schema.Json), {}),
  /** Of the clock, for one answer that comes later. */
  seconds: Schema.optionalKey(Positive),
  weight
}) {}

export interface NamedVerifier<Name extends string> extends OwnVerifier {
  readonly name: Name
}

/**
 * The code of the completion passes the tests of its row: its last fenced block, or all of it. Tests are, in the row's columns,
 *
 * - `test` with `check(candidate)` and `entry_point` (HumanEval; the code may go on from the prompt), or a text of tests in `test` or `tests`;
 * - a list of tests in `test_list` or `tests`, with `test_imports` and `test_setup_code` (MBPP);
 * - `inputs` and `outputs`, or pairs of `input` and `output`, of a program (also in `input_output`, `test_cases` or `tests`);
 *   with `fn_name`, of that function of Python (APPS): lists of arguments and their results.
 *
 * `credit` is the score in [0, 1]: `all` or nothing, the `share` of the tests, or by groups of tests with the same number in the column
 * `test_difficulty` (MiMo-7B, arXiv 2505.07608, section 3.3.1, which gives groups no weights). Each of G groups is worth 1/G: `strict` gives it if all tests of the group and
 * of the easier groups pass, `soft` in equal parts for each passed test. In one text of Python every statement that asserts is a test,
 * and so is every function `test…` and every method of a test case; in JavaScript the text is a test, or every `test` and `it` in it.
 *
 * Programs run in a sandbox (`src/sandbox`), where the system has namespaces of Linux; elsewhere the stage refuses. Unit tests run in another
 * process than the code, which only gets their arguments: it can neither see nor change how results are compared. One limit remains:
 * objects of the code's own classes are compared with each other by the code's own `__eq__`, and such an object equals no plain value.
 */
export class Code extends Schema.TaggedClass<Code>()("Code", {
  /** Of rows without a column `language`. */
  language: or(Schema.Literals(["python", "javascript", "typescript"]), "python"),
  credit: or(Schema.Literals(["all", "share", "strict", "soft"]), "all"),
  /** Of a processor, for the unit tests of a row or for an input; five times as much of the clock. */
  seconds: or(Count, 4),
  /** MiB for each process of the program, besides those of the interpreter. */
  memory: or(Count, 512),
  weight
}) {}

export const Verifier = Schema.Union([...Check.members, Code, OwnVerifier]).pipe(Schema.toTaggedUnion("_tag"))
export type Verifier = typeof Verifier.Type

/** The names of verifiers in logs: what each checks, with its place where there are several of a kind. */
export const namesOf = (verifiers: ReadonlyArray<Verifier>): ReadonlyArray<string> => {
  const names = verifiers.map((one) =>
    one._tag === "OwnVerifier" ? one.name : one._tag === "Instructions" && one.loose ? "InstructionsLoose" : one._tag
  )
  return names.map((name, i) => names.indexOf(name) === names.lastIndexOf(name) ? name : `${name}-${i}`)
}

/** Whether a prompt without an `answer` is of no use to it. */
export const needsAnswer = ({ _tag }: Verifier): boolean =>
  _tag === "FinalAnswer" || _tag === "LastNumber" || _tag === "Keywords" || _tag === "Mathematics" ||
  _tag === "ExactMatch"

type Options<V extends { readonly "~type.make.in": unknown }, Given extends string = never> = Omit<
  Exclude<V["~type.make.in"], void>,
  "_tag" | Given
>
const unchecked = { disableChecks: true } as const

export const finalAnswer = (marker: string, options: { readonly weight?: number } = {}): FinalAnswer =>
  new FinalAnswer({ marker, ...options }, unchecked)
export const lastNumber = (options: { readonly weight?: number } = {}): LastNumber => new LastNumber(options, unchecked)
export const keywords = (options: { readonly weight?: number } = {}): Keywords => new Keywords(options, unchecked)
export const format = (parts: ReadonlyArray<string>, options: { readonly weight?: number } = {}): Format =>
  new Format({ parts, ...options }, unchecked)
export const mathematics = (options: Options<typeof Mathematics> = {}): Mathematics =>
  new Mathematics(options, unchecked)
export const instructions = (options: Options<typeof Instructions> = {}): Instructions =>
  new Instructions(options, unchecked)
export const languageConsistency = (
  language: string,
  options: Options<typeof LanguageConsistency, "language"> = {}
): LanguageConsistency => new LanguageConsistency({ language, ...options }, unchecked)
export const targetLength = (options: Options<typeof TargetLength>): TargetLength =>
  new TargetLength(options, unchecked)
export const overlong = (options: Options<typeof Overlong>): Overlong => new Overlong(options, unchecked)
export const noRepetition = (options: Options<typeof NoRepetition> = {}): NoRepetition =>
  new NoRepetition(options, unchecked)
export const pattern = (pattern: string, options: Options<typeof Pattern, "pattern"> = {}): Pattern =>
  new Pattern({ pattern, ...options }, unchecked)
export const jsonSchema = (
  schema: (typeof JsonSchema)["Type"]["schema"],
  options: Options<typeof JsonSchema, "schema"> = {}
): JsonSchema => new JsonSchema({ schema, ...options }, unchecked)
export const exactMatch = (options: Options<typeof ExactMatch> = {}): ExactMatch => new ExactMatch(options, unchecked)
export const countdown = (options: Options<typeof Countdown> = {}): Countdown => new Countdown(options, unchecked)
export const letterCount = (options: Options<typeof LetterCount> = {}): LetterCount =>
  new LetterCount(options, unchecked)
export const ended = (options: Options<typeof Ended> = {}): Ended => new Ended(options, unchecked)
export const code = (options: Options<typeof Code> = {}): Code => new Code(options, unchecked)

/** A check of your own: you give its implementation to `run` (`rewards: […]`), with these parameters. */
export const own = <const Name extends string>(
  name: Name,
  params: Readonly<Record<string, Schema.Json>> = {},
  options: { readonly weight?: number; readonly seconds?: number } = {}
): NamedVerifier<Name> => new OwnVerifier({ name, params, ...options }, unchecked) as NamedVerifier<Name>
