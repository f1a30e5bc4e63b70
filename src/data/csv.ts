/** Records of CSV and TSV, RFC 4180: the first names the columns, and quoted cells may hold line breaks. */
import { BadData } from "./badData.ts"
import { lineBreakIn, Misquoted, quote, recordAt, type Separators } from "./cells.ts"
import { Unfit } from "./encode.ts"
import type { Json } from "./formats.ts"
import { decoded, type Found, mostInRecord, type Records } from "./record.ts"

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

const remedy = 'Put a cell with a quote, a comma or a line break into quotes, and double its quotes: "say ""hi""".'

const names = { ",": "commas", ";": "semicolons", "\t": "tabs" } as const
type Separator = keyof typeof names

const by = (separator: Separator, line: number): Separators => ({ cell: separator.charCodeAt(0), line })

/** The separator that gives the first record the most cells, a comma before others; undefined where its end is still to come. */
const separatorOf = (bytes: Buffer, start: number, line: number, whole: boolean): Separator | undefined => {
  const cells = ([",", ";", "\t"] as const).map((separator) => {
    try {
      return { separator, count: recordAt(bytes, start, by(separator, line), whole)?.cells.length }
    } catch {
      return { separator, count: 0 }
    }
  })
  if (cells.some(({ count }) => count === undefined)) return undefined
  return cells[0]!.count! > 1 ? "," : cells.toSorted((a, b) => b.count! - a.count!)[0]!.separator
}

interface Table {
  readonly separators: Separators
  readonly columns: ReadonlyArray<string>
  readonly isTyped: ReadonlyArray<boolean>
}

const rowOf = (cells: ReadonlyArray<Uint8Array>, { columns, isTyped }: Table): Json => {
  if (cells.length !== columns.length) {
    throw new Unfit(
      `it has ${cells.length} cells, and the first line names ${columns.length} columns`,
      "Put a cell with a comma, a quote or a line break into quotes, and double its quotes."
    )
  }
  return Object.fromEntries(cells.flatMap((cell, i) => {
    const text = decoded(cell)
    const value = isTyped[i] === true ? valueIn(text) : text
    return value === undefined ? [] : [[columns[i]!, value]]
  }))
}

const countOf = (byte: number, bytes: Buffer): number => {
  let count = 0
  for (let at = bytes.indexOf(byte); at >= 0; at = bytes.indexOf(byte, at + 1)) count++
  return count
}

/** `fields` says under which names typed fields are. A `.csv` file may separate its cells by semicolons or tabs. */
export const recordsBy = (kind: "," | "\t", fields: Readonly<Record<string, string>>) =>
  async function*(pieces: AsyncIterable<Uint8Array>, path: string): Records {
    const typedNames = new Set([...typed].map((field) => fields[field] ?? field))
    let table: Table | undefined
    let note: string | undefined
    let line = 1
    let rest: Buffer = Buffer.alloc(0)
    /** The records that `rest` begins with, which are taken from it. `whole`: nothing comes after it. */
    const taken = (whole: boolean): ReadonlyArray<Found> => {
      const all: Array<Found> = []
      const lineBreak = table?.separators.line ?? lineBreakIn(rest, whole)
      if (lineBreak === undefined) return all
      let start = 0
      try {
        while (start < rest.length) {
          const separator = table !== undefined || kind === "\t" ? kind : separatorOf(rest, start, lineBreak, whole)
          if (separator === undefined) break
          const separators = table?.separators ?? by(separator, lineBreak)
          const record = recordAt(rest, start, separators, whole)
          if (record === undefined) break
          const { cells, end } = record
          const [from, at] = [start, line]
          line += countOf(lineBreak, rest.subarray(from, end))
          start = end
          if (cells.length === 1 && cells[0]!.length === 0 && rest[from] !== quote) continue
          if (table === undefined) {
            const columns = header(cells, path, at)
            table = { separators, columns, isTyped: columns.map((name) => typedNames.has(name)) }
            if (separator !== kind) note = `cells separated by ${names[separator]}`
            continue
          }
          const known = table
          all.push({
            line: at,
            bytes: end - from,
            value: () => rowOf(cells, known),
            ...(note === undefined ? {} : { note })
          })
        }
      } catch (error) {
        if (!(error instanceof Misquoted)) throw error
        line += countOf(lineBreak, rest.subarray(start, error.at))
        throw new BadData({ path, line, problem: error.message, remedy })
      }
      rest = rest.subarray(start)
      return all
    }
    let [waiting, more]: [Array<Uint8Array>, number] = [[], 0]
    for await (const piece of pieces) {
      waiting.push(piece)
      more += piece.length
      // A record of many pieces is not looked at anew for each of them.
      if (more < rest.length) continue
      rest = Buffer.concat([rest, ...waiting])
      waiting = []
      more = 0
      yield taken(false)
      if (rest.length > mostInRecord) {
        throw new BadData({ path, line, problem: `a record has more than ${mostInRecord} bytes`, remedy })
      }
    }
    rest = Buffer.concat([rest, ...waiting])
    yield taken(true)
  }

const header = (cells: ReadonlyArray<Uint8Array>, path: string, line: number): ReadonlyArray<string> => {
  const bad = (problem: string) =>
    new BadData({ path, line, problem, remedy: "The first line has to name the columns, each once." })
  let names: ReadonlyArray<string>
  try {
    names = cells.map((cell) => decoded(cell).trim())
  } catch (error) {
    throw error instanceof Unfit ? new BadData({ path, line, problem: error.message, remedy: error.remedy }) : error
  }
  const repeated = names.find((name, i) => names.indexOf(name) !== i)
  // pandas writes its index under an empty name, first.
  if (names.some((name, i) => name === "" && i > 0)) throw bad("a column has no name")
  if (repeated !== undefined) throw bad(`two columns are called ${JSON.stringify(repeated)}`)
  return names
}
