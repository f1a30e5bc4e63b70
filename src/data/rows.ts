/** Plain rows of text, before any tokenizer: the data that stages read. */
import * as Schema from "effect/Schema"
import type { Row } from "../engine/engine.ts"
import { concatenated, gathered, mapped } from "./lazyArray.ts"
import { placedAs } from "./places.ts"

/** Text to pretrain on: TRL's "language modeling". */
export interface TextRow {
  readonly text: string
}

/** A message of a conversation; its other fields (`tool_calls`, `name`, …) are for the chat template. The content beside tool calls may be null. */
export const Message = Schema.StructWithRest(
  Schema.Struct({ role: Schema.String, content: Schema.NullOr(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Json)]
)
export type Message = typeof Message.Type

/** Something to answer: TRL's "prompt-only". */
export interface PromptRow {
  readonly prompt: string
  /** The conversation whose rendered text is the prompt, if it is one. */
  readonly messages?: ReadonlyArray<Message>
  /** The answer that a verifier compares a completion with, if any. */
  readonly answer?: string
  /** The other columns of its row, which some verifiers read. */
  readonly columns?: Columns
}

/** Columns of a row of data, under their names. */
export const Columns = Schema.Record(Schema.String, Schema.Json)
export type Columns = typeof Columns.Type

/** A turn of the assistant: the rendered text since its last turn, and its own text. */
export interface Turn {
  readonly context: string
  readonly answer: string
}

/** A prompt and an answer to imitate: TRL's "prompt-completion". */
export interface DemonstrationRow {
  readonly prompt: string
  readonly completion: string
  /**
   * Every turn of the assistant in a conversation; the last turn is `completion`. Null when the chat template rewrites earlier
   * turns, so that where they end cannot be told.
   */
  readonly turns?: ReadonlyArray<Turn> | null
  /** Whether it ended by itself; one cut off by a length limit gets no end token. Default: true. */
  readonly ended?: boolean
}

/** What was asked, without the answer to it; its keys in the order in which the store reads them again. */
export const promptIn = ({ answer, columns, messages, prompt }: PromptRow): PromptRow => ({
  prompt,
  ...(messages === undefined
    ? {}
    : { messages: messages.map(({ content, role, ...of }) => ({ role, content, ...of })) }),
  ...(answer === undefined ? {} : { answer }),
  ...(columns === undefined ? {} : { columns })
})

/** Several answers to a prompt, better answers first. */
export interface RankingRow {
  readonly prompt: string
  readonly completions: ReadonlyArray<string>
  /** The place of each completion, from 1, in rising order; equal places tie. */
  readonly ranks: ReadonlyArray<number>
}

/** An answer in steps: TRL's "stepwise supervision". Labels are right or wrong, or 1, 0 (neutral) and −1. */
export interface StepwiseRow {
  readonly prompt: string
  readonly completions: ReadonlyArray<string>
  readonly labels: ReadonlyArray<boolean | number>
}

/** Two answers to a prompt, the better answer first: TRL's "preference". */
export interface PreferenceRow {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
  /** How much better `chosen` is, in the units of whoever scored it (Llama 2, arXiv 2307.09288, eq. 2). */
  readonly margin?: number
  /** Whether each ended by itself; one cut off by a length limit gets no end token. Default: true. */
  readonly ended?: { readonly chosen: boolean; readonly rejected: boolean }
}

/** An answer labelled by itself: TRL's "unpaired preference". */
export interface UnpairedPreferenceRow extends Omit<DemonstrationRow, "turns"> {
  /** Whether it is desirable. */
  readonly label: boolean
}

/** Each pair as two labelled answers, as TRL's `unpair_preference_dataset` makes them. */
export const unpaired = (rows: ReadonlyArray<PreferenceRow>): ReadonlyArray<UnpairedPreferenceRow> => {
  const known = apart.get(rows)
  if (known !== undefined) return known
  const made = concatenated((["chosen", "rejected"] as const).map((side) =>
    mapped(rows, (pair) => {
      const { ended, prompt, [side]: completion } = pair
      const label = side === "chosen"
      return placedAs({ prompt, completion, label, ...(ended === undefined ? {} : { ended: ended[side] }) }, pair)
    })
  ))
  apart.set(rows, made)
  return made
}

const apart = new WeakMap<ReadonlyArray<PreferenceRow>, ReadonlyArray<UnpairedPreferenceRow>>()

/** A policy's answer to a prompt. */
export const CompletionRow = Schema.Struct({
  prompt: Schema.String,
  messages: Schema.optionalKey(Schema.Array(Message)),
  answer: Schema.optionalKey(Schema.String),
  columns: Schema.optionalKey(Columns),
  completion: Schema.String,
  /** Whether it ended by itself. */
  ended: Schema.Boolean,
  /** Its length, the end included; of text that comes from elsewhere, about that. */
  tokens: Schema.Natural
})
export type CompletionRow = typeof CompletionRow.Type

/** An answer that somebody wrote as one of a policy that no tokenizer is known of: four characters are about a token. */
export const completed = ({ completion, ended = true, prompt }: DemonstrationRow): CompletionRow => ({
  prompt,
  completion,
  ended,
  tokens: 1 + Math.ceil(completion.length / 4)
})

/** A policy's answer and its score. */
export const ScoredRow = Schema.Struct({ ...CompletionRow.fields, score: Schema.Number })
export type ScoredRow = typeof ScoredRow.Type

/** The rows that a stage had made when it stopped, in an array that can grow; none at the start. */
export const resumed = <S extends Schema.Codec<any, any>>(row: S, state: Schema.Json): Array<S["Type"]> =>
  state === null ? [] : [...Schema.decodeUnknownSync(Schema.Array(row))(state)]

export type AnyRow =
  | TextRow
  | PromptRow
  | DemonstrationRow
  | PreferenceRow
  | RankingRow
  | UnpairedPreferenceRow
  | StepwiseRow
  | CompletionRow
  | ScoredRow

/** The prompt of a row; of plain text, all of it. */
export const promptOf = (row: AnyRow): string => "prompt" in row ? row.prompt : row.text

/** The answers of a row, or its prompt or text when it has no answers. */
export const writtenIn = (row: AnyRow): ReadonlyArray<string> =>
  "completion" in row
    ? [row.completion]
    : "completions" in row
    ? row.completions
    : "chosen" in row
    ? [row.chosen, row.rejected]
    : [promptOf(row)]

/** The words of a text between its white space. */
export const wordsOf = (text: string): ReadonlyArray<string> => text.split(/\s+/u).filter((word) => word !== "")

/** Characters of a row, which its number of tokens is roughly proportional to; of an encoded row, its tokens. */
export const lengthIn = (row: AnyRow | Row): number => {
  let sum = "prompt" in row ? row.prompt.length : 0
  for (const { length } of writtenIn(row as AnyRow)) sum += length
  return sum
}

/** Characters of a row's longest sequence. */
export const longestIn = (row: AnyRow): number =>
  "chosen" in row || "ranks" in row
    ? row.prompt.length + Math.max(0, ...writtenIn(row).map(({ length }) => length))
    : lengthIn(row)

/** The same text up to case and white space. */
export const normalised = (text: string): string => text.toLowerCase().replace(/\s+/gu, " ").trim()

/** The places of rows by prompt, in the order in which the prompts first appear; equal prompts share a group. */
export const placesByPrompt = <R>(
  rows: ReadonlyArray<R>,
  promptOf: (row: R) => string
): ReadonlyArray<ReadonlyArray<number>> => {
  const groups = new Map<string, Array<number>>()
  for (let i = 0; i < rows.length; i++) {
    const prompt = promptOf(rows[i]!)
    const group = groups.get(prompt)
    if (group === undefined) groups.set(prompt, [i])
    else group.push(i)
  }
  return [...groups.values()]
}

/** Rows by prompt, as `placesByPrompt`. */
export const groupedByPrompt = <R extends PromptRow>(rows: ReadonlyArray<R>): ReadonlyArray<ReadonlyArray<R>> =>
  gathered(rows, placesByPrompt(rows, ({ prompt }) => prompt))
