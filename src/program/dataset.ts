/** What is in a file of data: its columns, the role of its rows, their lengths, duplicates, and what it shares with another file. */
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { About } from "../data/about.ts"
import { decontaminate } from "../data/decontaminate.ts"
import { deduplicate } from "../data/deduplicate.ts"
import type { Role } from "../data/dataset.ts"
import type { RowFormat } from "../data/formats.ts"
import { type Options, read, type Reader, readers } from "../data/read.ts"
import { anyChat } from "../data/messages.ts"
import { type AnyRow, promptOf, wordsOf, writtenIn } from "../data/rows.ts"
import { inspect } from "../model/checkpoint.ts"
import { modelConfig } from "../model/config.ts"
import { codec } from "../model/tokenizer.ts"
import type { Lengths } from "../report/lengths.ts"

export interface DatasetOptions {
  readonly fields?: RowFormat["fields"]
  /** A model folder, whose tokenizer counts tokens and whose chat template renders conversations; without it words are counted. */
  readonly tokenizer?: string
  /** Another file, e.g. of an evaluation, whose prompts are looked for. */
  readonly against?: string
  /** Words in a row that two prompts may not share. */
  readonly ngram?: number
}

export interface Column {
  readonly name: string
  /** Rows with a value, by the kind of value. */
  readonly kinds: Readonly<Record<string, number>>
  /** The first value, shortened. */
  readonly example: string
}

export interface Described {
  readonly rows: number
  readonly columns: ReadonlyArray<Column>
  /** The most specific role that the rows have; null where they have none. */
  readonly role: Role | null
  readonly about: About | null
  readonly lengths: Lengths | null
  /** Rows that repeat an earlier row, its prompt, or nearly an earlier row (Jaccard similarity of runs of 5 words of 0.8). */
  readonly duplicates: { readonly rows: number; readonly prompts: number; readonly near: number } | null
  /** Rows whose prompt shares a run of `ngram` words with a prompt of `against`. */
  readonly shared: { readonly against: string; readonly ngram: number; readonly rows: number } | null
}

/** From the most specific. */
const roles = [
  "Stepwise",
  "Rankings",
  "Preferences",
  "UnpairedPreferences",
  "Demonstrations",
  "Prompts",
  "Text"
] as const satisfies ReadonlyArray<Role>

/** Rows that a role is recognised by. */
const firstRows = 100

const anyRow: Reader<Readonly<Record<string, unknown>>> = { role: null, row: (row) => row, plain: (text) => ({ text }) }

const kindOf = (value: unknown): string => Array.isArray(value) ? "list" : value === null ? "null" : typeof value

const columnsOf = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>): ReadonlyArray<Column> => {
  const columns = new Map<string, { kinds: Record<string, number>; example: string }>()
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (value === undefined || value === null) continue
      const column = columns.get(name) ?? { kinds: {}, example: JSON.stringify(value) }
      columns.set(name, column)
      column.kinds[kindOf(value)] = (column.kinds[kindOf(value)] ?? 0) + 1
    }
  }
  return [...columns].map(([name, { example, kinds }]) => ({
    name,
    kinds,
    example: example.length > 60 ? `${example.slice(0, 59)}…` : example
  }))
}

const ascending = (numbers: ReadonlyArray<number>): ReadonlyArray<number> => numbers.toSorted((a, b) => a - b)

/** Reads a file and describes it; bad rows are left out, and counted in `about`. */
export const dataset = Effect.fn("dataset")(
  function*(path: string, { against, fields, ngram = 8, tokenizer }: DatasetOptions = {}) {
    const raw = yield* read(anyRow)(path)
    const columns = columnsOf(raw.rows)
    const model = tokenizer === undefined ? undefined : yield* inspect(tokenizer)
    const counting = model === undefined ? undefined : codec(model.tokenizer, modelConfig(model.config))
    const format = {
      ...(fields === undefined ? {} : { fields }),
      chat: counting?.chat ?? anyChat
    } satisfies RowFormat
    const reading = (role: Role, options: Options = {}, from = path) =>
      read<AnyRow>(readers[role] as unknown as Reader<AnyRow>)(from, { ...format, ...options, onBadRow: "skip" })
    let role: Role | null = null
    for (const one of roles) {
      const found = yield* Effect.result(reading(one, { limit: firstRows }))
      if (Result.isSuccess(found) && 2 * (found.success.about.skipped?.rows ?? 0) < found.success.rows.length) {
        role = one
        break
      }
    }
    const rest = { rows: raw.rows.length, columns, role }
    if (role === null) {
      return { ...rest, about: null, lengths: null, duplicates: null, shared: null } satisfies Described as Described
    }
    const { about, rows } = yield* reading(role)
    const tokens = counting === undefined
      ? undefined
      : (text: string) => counting.encodeCompletion(text, { end: false }).length
    const length = tokens ?? ((text: string) => wordsOf(text).length)
    const hasPrompt = role !== "Text"
    const lengths: Lengths = {
      unit: tokens === undefined ? "words" : "tokens",
      prompts: hasPrompt ? ascending(rows.map((row) => length(promptOf(row)))) : [],
      answers: role === "Prompts" ? [] : ascending(rows.flatMap((row) => writtenIn(row).map(length)))
    }
    const different = deduplicate(rows, { by: "row" })
    const near = { similarity: 0.8, ngram: 5 }
    const duplicates = {
      rows: rows.length - different.length,
      prompts: hasPrompt ? rows.length - deduplicate(rows, { by: "prompt" }).length : 0,
      near: different.length - deduplicate(different, { by: "row", near }).length
    }
    let shared: Described["shared"] = null
    if (against !== undefined) {
      // It may have its columns under the same names or under their own, or texts alone.
      const held = yield* reading("Prompts", {}, against).pipe(
        Effect.catch(() => reading("Prompts", { fields: {} }, against)),
        Effect.catch(() => reading("Text", {}, against))
      )
      shared = { against, ngram, rows: rows.length - decontaminate(rows, held.rows, { ngram }).length }
    }
    return { ...rest, about, lengths, duplicates, shared } satisfies Described as Described
  },
  Effect.provide(NodeFileSystem.layer)
)
