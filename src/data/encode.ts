/**
 * Rows of text to token ids, checked against the limits of the model: an empty data set, a row longer than the context and a
 * text the tokenizer cannot encode are errors before a stage begins, never truncations.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Codec, Row } from "../engine/engine.ts"
import { Abandoned, eachLimited, Overran, windows } from "../model/foreign.ts"
import { EncodeWhenRead, lazyArray } from "./lazyArray.ts"
import { tellUnknown } from "./unknownWords.ts"
import type { DemonstrationRow, PreferenceRow, PromptRow, TextRow, UnpairedPreferenceRow } from "./rows.ts"

/** The purpose of the rows, named in errors. */
export interface For {
  readonly stage: string
  readonly codec: Codec
  /** Longest prompt + completion the model takes, tokens. */
  readonly context: number
  /** Whether rows like these were encoded before, so that their unknown words are not told again. */
  readonly told?: boolean
}

/** A pair of answers to one prompt. */
export interface EncodedPair {
  readonly chosen: Row
  readonly rejected: Row
  readonly margin: number
}

/** Thrown for a row that can be encoded and does not fit its purpose. */
export class Unfit extends Error {
  readonly remedy: string
  constructor(problem: string, remedy: string) {
    super(problem)
    this.remedy = remedy
  }
}

export const encodeAll = <A, B>(
  { codec, context, stage, told }: For,
  rows: ReadonlyArray<A>,
  encode: (row: A) => B,
  tokens: (encoded: B) => number,
  room = 0
): Effect.Effect<ReadonlyArray<B>, UnusableData> =>
  Effect.gen(function*() {
    const unusable = (problem: string, remedy: string) => new UnusableData({ stage, problem, remedy })
    if (rows.length === 0) return yield* unusable("its data set is empty", "Give it at least one row.")
    const unencodable = (i: number, error: unknown): UnusableData => {
      if (error instanceof Unfit) return unusable(`row ${i + 1}: ${error.message}`, error.remedy)
      if (error instanceof Overran) return unusable(`row ${i + 1}: ${error.problem}`, error.remedy)
      const problem = error instanceof Error ? error.message : String(error)
      return unusable(`row ${i + 1} cannot be encoded: ${problem}`, "Use text that the model's tokenizer knows.")
    }
    const fitting = (i: number): Result.Result<B, UnusableData> => {
      let one: B
      try {
        one = encode(rows[i]!)
      } catch (error) {
        if (error instanceof Abandoned) throw error
        return Result.fail(unencodable(i, error))
      }
      const length = tokens(one)
      if (length + room <= context) return Result.succeed(one)
      return Result.fail(unusable(
        `row ${i + 1} has ${length} tokens${
          room > 0 ? ` and needs room for ${room} more` : ""
        }; the context is ${context}`,
        "Shorten or leave out such rows, ask for fewer new tokens, or take a model with a longer context."
      ))
    }
    if (yield* EncodeWhenRead) return lazyArray(rows.length, (i) => Result.getOrThrow(fitting(i)))
    const encoded: Array<B> = []
    const piece = (): Result.Result<"more" | "done", UnusableData> => {
      const next = fitting(encoded.length)
      if (Result.isFailure(next)) return Result.fail(next.failure)
      encoded.push(next.success)
      return Result.succeed(encoded.length < rows.length ? "more" : "done")
    }
    yield* windows(piece, (error) => unencodable(encoded.length, error))
    if (told !== true) yield* tellUnknown({ codec, stage }, rows, encoded)
    return encoded
  })

/** The texts of completions. */
export const textsOf = (
  { decode }: { readonly decode: (ids: Int32Array) => string },
  sampled: ReadonlyArray<{ readonly completion: Int32Array }>
): ReadonlyArray<string> => eachLimited(sampled, ({ completion }) => decode(completion))

export const lengthOf = (row: Row): number => row.prompt.length + row.completion.length

export const answer = (codec: Codec, prompt: string, completion: string, end = true): Row => ({
  prompt: codec.encodePrompt(prompt),
  completion: codec.encodeCompletion(completion, { end })
})

/**
 * Text to pretrain on: everything after the beginning of the sequence is completion. A tokenizer without that token gives its first
 * token as the prompt.
 */
export const encodeTexts = (use: For, rows: ReadonlyArray<TextRow>) =>
  encodeAll(use, rows, ({ text }): Row => {
    const ids = use.codec.encodePrompt(text)
    const end = use.codec.encodeCompletion("", { end: true })
    return { prompt: ids.slice(0, 1), completion: Int32Array.of(...ids.subarray(1), ...end) }
  }, lengthOf)

export const encodeDemonstrations = (use: For, rows: ReadonlyArray<DemonstrationRow>) =>
  encodeAll(use, rows, ({ completion, ended, prompt }) => answer(use.codec, prompt, completion, ended), lengthOf)

/** Prompts that leave room for at least one new token. */
export const encodePrompts = (use: For, rows: ReadonlyArray<PromptRow>) =>
  encodeAll(use, rows, ({ prompt }) => use.codec.encodePrompt(prompt), (ids) => ids.length, 1)

export const encodePairs = (use: For, rows: ReadonlyArray<PreferenceRow>) =>
  encodeAll(use, rows, ({ chosen, ended, margin, prompt, rejected }): EncodedPair => ({
    chosen: answer(use.codec, prompt, chosen, ended?.chosen),
    rejected: answer(use.codec, prompt, rejected, ended?.rejected),
    margin: margin ?? 0
  }), ({ chosen, rejected }) => Math.max(lengthOf(chosen), lengthOf(rejected)))

export const encodeUnpaired = (use: For, rows: ReadonlyArray<UnpairedPreferenceRow>) =>
  encodeAll(use, rows, ({ completion, ended, label, prompt }) => ({
    row: answer(use.codec, prompt, completion, ended),
    label
  }), ({ row }) => lengthOf(row))
