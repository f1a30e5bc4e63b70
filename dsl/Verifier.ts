/**
 * Verifiable rewards: checks of a completion that a program can make, given the prompt's `answer` where it needs one. A verifier
 * gives its `weight` when the check holds and 0 when it does not; several add up. Pure and total, strict on malformed text.
 *
 * A verifier is a *proxy* like a reward model: it can be trained on. The real goal (`Gold.ts`) cannot.
 * Code: `src/rewards/verifier.ts`. In `simulate` every verifier says whether the completion's gold reward is
 * above the mean of its prompt's completions.
 */
import * as Schema from "effect/Schema"
import { or, Positive } from "./Training.ts"

const weight = or(Positive, 1)

/**
 * The rest of the line after the last `marker` is the answer: the same number when both are numbers (`1,000.0` is `1000`), else the
 * same text up to white space. GSM8K's marker is `####`.
 */
export class FinalAnswer extends Schema.TaggedClass<FinalAnswer>()("FinalAnswer", {
  marker: Schema.NonEmptyString,
  weight
}) {}

/** The last number in the completion is the answer (GSM8K as most code scores it). */
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

export const Verifier = Schema.Union([FinalAnswer, LastNumber, Keywords, Format]).pipe(Schema.toTaggedUnion("_tag"))
export type Verifier = typeof Verifier.Type

/** Whether a prompt without an `answer` is of no use to it. */
export const needsAnswer = (verifier: Verifier): boolean => verifier._tag !== "Format"

export const finalAnswer = (marker: string, options: { readonly weight?: number } = {}): FinalAnswer =>
  new FinalAnswer({ marker, ...options }, { disableChecks: true })
export const lastNumber = (options: { readonly weight?: number } = {}): LastNumber =>
  new LastNumber(options, { disableChecks: true })
export const keywords = (options: { readonly weight?: number } = {}): Keywords =>
  new Keywords(options, { disableChecks: true })
export const format = (parts: ReadonlyArray<string>, options: { readonly weight?: number } = {}): Format =>
  new Format({ parts, ...options }, { disableChecks: true })
