import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { gunzipSync } from "node:zlib"
import { BadData } from "./badData.ts"
import { Unfit } from "./encode.ts"
import * as formats from "./formats.ts"
import { rankingRow, stepwiseRow } from "./rankingFormats.ts"

/** Reads users' data: `.jsonl` (an object a line) and `.txt` (a text a line), plain or gzipped. */
export interface Options extends formats.RowFormat {
  /** Reads at most this many rows. */
  readonly limit?: number
}

const kinds = "Give a .jsonl, .jsonl.gz, .txt or .txt.gz file."

/** The file's lines: UTF-8, split on "\n" only (texts may hold U+2028 or U+0085), without a byte order mark. */
const linesOf = Effect.fnUntraced(function*(path: string) {
  const bad = (problem: string, remedy: string, line = 0) => new BadData({ path, line, problem, remedy })
  if (!/\.(?:jsonl|txt)(?:\.gz)?$/u.test(path)) return yield* bad("not a kind of file that rows are read from", kinds)
  const fs = yield* FileSystem.FileSystem
  const packed = yield* fs.readFile(path).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.fail(bad("no such file", "Check the path."))),
    Effect.catchTag(
      "PlatformError",
      (error) => Effect.fail(bad(`cannot be read: ${error.message}`, "Check that it is a file, and who may read it."))
    )
  )
  const zipped = packed[0] === 0x1f && packed[1] === 0x8b
  const bytes = zipped
    ? yield* Effect.try({
      try: () => new Uint8Array(gunzipSync(packed)),
      catch: () => bad("the gzip data is damaged or cut off", "Fetch or compress the file again.")
    })
    : packed
  if (!zipped && path.endsWith(".gz") && bytes.length > 0) {
    return yield* bad("not gzip data", "Drop .gz from the name, or compress it.")
  }
  return split(bytes)
})

/** Byte ranges between line feeds; each is decoded separately, so that a bad byte has a line number. */
const split = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const lines: Array<Uint8Array> = []
  // The mark of UTF-8 that some editors put in front.
  let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  for (;;) {
    const end = bytes.indexOf(0x0a, start)
    if (end < 0) break
    lines.push(bytes.subarray(start, end))
    start = end + 1
  }
  lines.push(bytes.subarray(start))
  return lines
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const decode = (line: Uint8Array): string => {
  let text: string
  try {
    text = decoder.decode(line)
  } catch {
    throw new Unfit("not UTF-8", "Save the file as UTF-8.")
  }
  if (text.includes("\0")) throw new Unfit("not text: it holds a zero byte", kinds)
  return text.replace(/\r$/u, "")
}

const asJson = (line: string): formats.Json => {
  const remedy = "Every line has to be one JSON object."
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.slice(0, 100).replaceAll(/\s+/gu, " ") : "cannot be parsed"
    throw new Unfit(`not JSON: ${why}`, remedy)
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as formats.Json
  const shown = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`
  throw new Unfit(
    `not an object but ${shown}`,
    `${remedy} A list of objects is written one a line, without the brackets.`
  )
}

const needsJson = (): never => {
  throw new Unfit("a line of plain text has no fields", "Give a .jsonl file, one object a line.")
}

/** All rows of a file, or the first thing that is wrong with it. Of formats that lines of plain text have no fields for, `plain` is left out. */
const rowsOf = <Row>(
  row: (json: formats.Json, format: formats.RowFormat) => Row,
  plain: (text: string) => Row = needsJson
) =>
  Effect.fn("data.read")(function*(path: string, options: Options = {}) {
    const { limit = Infinity } = options
    const lines = yield* linesOf(path)
    const isJson = /\.jsonl(?:\.gz)?$/u.test(path)
    const rows: Array<Row> = []
    for (const [i, bytes] of lines.entries()) {
      if (rows.length >= limit) break
      try {
        const line = decode(bytes)
        if (line.trim() !== "") rows.push(isJson ? row(asJson(line), options) : plain(line))
      } catch (error) {
        if (!(error instanceof Unfit)) throw error
        return yield* new BadData({ path, line: i + 1, problem: error.message, remedy: error.remedy })
      }
    }
    if (rows.length === 0) {
      return yield* new BadData({
        path,
        line: 0,
        problem: "no rows in it",
        remedy: "Give a file with at least one row."
      })
    }
    return rows as ReadonlyArray<Row>
  })

/** Language modeling: `text`, or `messages`; in a .txt file a line is a text. */
export const texts = rowsOf(formats.textRow, (text) => ({ text }))

/** Prompt only: `prompt`, or the prompt of a row of the other formats; in a .txt file a line is a prompt. */
export const prompts = rowsOf(formats.promptRow, (prompt) => ({ prompt }))

/** Prompt-completion: `prompt` and `completion`, or `messages` split at the last assistant turn. */
export const demonstrations = rowsOf(formats.demonstrationRow)

/** Preference: `chosen` and `rejected`, with an explicit or implicit prompt. */
export const preferences = rowsOf(formats.preferenceRow)

/** Unpaired preference: `prompt` and `completion`, or `messages`, with `label`. */
export const unpairedPreferences = rowsOf(formats.unpairedPreferenceRow)

/** Rankings: `prompt` and `completions`, best first or with `scores`. */
export const rankings = rowsOf(rankingRow)

/** Stepwise supervision: `prompt`, `completions` and `labels`. */
export const stepwise = rowsOf(stepwiseRow)
