/** Records of CSV and TSV, RFC 4180: the first names the columns, and quoted cells may hold line breaks. */
import { CsvError, parse } from "csv-parse"
import { pipeline, Readable } from "node:stream"
import { BadData } from "./badData.ts"
import { Unfit } from "./encode.ts"
import { decoded, type Found, mostInRecord, type Records, together } from "./record.ts"

/** Fields that are no text: their cells are read as JSON (`1`, `true`, `[0.5, 1]`, a list of messages), `True` and `False` too. */
const typed: ReadonlySet<string> = new Set([
  "label",
  "labels",
  "kto_tag",
  "scores",
  "margin",
  "score_chosen",
  "score_rejected",
  "completions",
  "messages",
  "conversations",
  "tools"
])

const spelled: Readonly<Record<string, string>> = { True: "true", False: "false", None: "null" }

/** An empty cell has no value. */
const valueIn = (cell: string): unknown => {
  if (cell === "") return undefined
  try {
    return JSON.parse(spelled[cell] ?? cell)
  } catch {
    return cell
  }
}

/** Bytes that are handed on together, about. */
const block = 1 << 20

interface Read {
  readonly record: ReadonlyArray<Uint8Array>
  readonly info: { readonly lines: number; readonly empty_lines: number; readonly bytes: number }
}

/** `fields` says under which names typed fields are. */
export const recordsBy = (delimiter: "," | "\t", fields: Readonly<Record<string, string>>) =>
  async function*(pieces: AsyncIterable<Uint8Array>, path: string): Records {
    const parser = parse({
      delimiter,
      encoding: null,
      info: true,
      max_record_size: mostInRecord,
      relax_column_count: true,
      skip_empty_lines: true
    })
    let failure: unknown
    const rows = pipeline(Readable.from(pieces), parser, (error) => failure = error)
    let names: ReadonlyArray<string> | null = null
    let isTyped: ReadonlyArray<boolean> = []
    let last: Read["info"] = { lines: 0, empty_lines: 0, bytes: 0 }
    let all: Array<Found> = []
    let waiting = 0
    try {
      for await (const { info, record } of rows as AsyncIterable<Read>) {
        const line = last.lines + info.empty_lines - last.empty_lines + 1
        const bytes = info.bytes - last.bytes
        last = { ...info }
        if (names === null) {
          names = header(record, path)
          const typedNames = new Set([...typed].map((field) => fields[field] ?? field))
          isTyped = names.map((name) => typedNames.has(name))
          continue
        }
        const columns = names
        const value = () => {
          if (record.length !== columns.length) {
            throw new Unfit(
              `it has ${record.length} cells, and the first line names ${columns.length} columns`,
              "Put a cell with a comma, a quote or a line break into quotes, and double its quotes."
            )
          }
          return Object.fromEntries(record.flatMap((cell, i) => {
            const text = decoded(cell)
            const value = isTyped[i] === true ? valueIn(text) : text
            return value === undefined ? [] : [[columns[i]!, value]]
          }))
        }
        all.push({ line, bytes, value })
        waiting += bytes
        if (all.length < together && waiting < block) continue
        yield all
        all = []
        waiting = 0
      }
    } catch (error) {
      throw brokenQuotes(error, path)
    }
    if (failure instanceof Error) throw brokenQuotes(failure, path)
    yield all
  }

const header = (cells: ReadonlyArray<Uint8Array>, path: string): ReadonlyArray<string> => {
  const bad = (problem: string) =>
    new BadData({ path, line: 1, problem, remedy: "The first line has to name the columns, each once." })
  let names: ReadonlyArray<string>
  try {
    names = cells.map((cell) => decoded(cell).trim())
  } catch (error) {
    throw error instanceof Unfit ? new BadData({ path, line: 1, problem: error.message, remedy: error.remedy }) : error
  }
  const repeated = names.find((name, i) => names.indexOf(name) !== i)
  // pandas writes its index under an empty name, first.
  if (names.some((name, i) => name === "" && i > 0)) throw bad("a column has no name")
  if (repeated !== undefined) throw bad(`two columns are called ${JSON.stringify(repeated)}`)
  return names
}

const brokenQuotes = (error: unknown, path: string): unknown => {
  if (!(error instanceof CsvError)) return error
  const lines = Number((error as { readonly lines?: unknown }).lines ?? 0)
  const problem = error.code === "CSV_MAX_RECORD_SIZE"
    ? `a record has more than ${mostInRecord} bytes`
    : error.message.split(",")[0]!.split("\n")[0]!
  return new BadData({
    path,
    line: lines,
    problem,
    remedy: 'Put a cell with a quote, a comma or a line break into quotes, and double its quotes: "say ""hi""".'
  })
}
