import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { gunzipSync } from "node:zlib"
import { BadData } from "./badData.ts"
import {
  demonstrationRow,
  type Format,
  isUnfit,
  type Json,
  preferenceRow,
  promptRow,
  textRow,
  type Unfit,
  unfit,
  unpairedPreferenceRow
} from "./formats.ts"
import { rankingRow, stepwiseRow } from "./judged.ts"
import type {
  DemonstrationRow,
  PreferenceRow,
  PromptRow,
  RankingRow,
  StepwiseRow,
  TextRow,
  UnpairedPreferenceRow
} from "./rows.ts"

/** Reads users' data: `.jsonl` (an object a line) and `.txt` (a text a line), plain or gzipped. */
export interface Options extends Format {
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
const decode = (line: Uint8Array): string | Unfit => {
  try {
    const text = decoder.decode(line)
    return text.includes("\0") ? unfit("not text: it holds a zero byte", kinds) : text.replace(/\r$/u, "")
  } catch {
    return unfit("not UTF-8", "Save the file as UTF-8.")
  }
}

const asJson = (line: string): Json | Unfit => {
  const remedy = "Every line has to be one JSON object."
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { value }
    const shown = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`
    return unfit(
      `not an object but ${shown}`,
      `${remedy} A list of objects is written one a line, without the brackets.`
    )
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.slice(0, 100).replaceAll(/\s+/gu, " ") : "cannot be parsed"
    return unfit(`not JSON: ${why}`, remedy)
  }
}

/** All rows of a file, or the first thing that is wrong with it. */
const rowsOf = <Row extends object>(
  row: (json: Json, format: Format) => Row | Unfit,
  plain: (text: string) => Row | Unfit
) =>
  Effect.fn("data.read")(function*(path: string, options: Options = {}) {
    const { limit = Infinity } = options
    const lines = yield* linesOf(path)
    const isJson = /\.jsonl(?:\.gz)?$/u.test(path)
    const rows: Array<Row> = []
    for (const [i, bytes] of lines.entries()) {
      if (rows.length >= limit) break
      const bad = ({ problem, remedy }: Unfit) => new BadData({ path, line: i + 1, problem, remedy })
      const line = decode(bytes)
      if (typeof line !== "string") return yield* bad(line)
      if (line.trim() === "") continue
      const json = isJson ? asJson(line) : undefined
      if (json !== undefined && isUnfit(json)) return yield* bad(json)
      const made = json === undefined ? plain(line) : row(json.value as Json, options)
      if (isUnfit(made)) return yield* bad(made)
      rows.push(made)
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

const pairsNeedJson = () => unfit("a line of plain text has no fields", "Give a .jsonl file, one object a line.")

type Read<Row> = (
  path: string,
  options?: Options
) => Effect.Effect<ReadonlyArray<Row>, BadData, FileSystem.FileSystem>

/** Language modeling: `text`, or `messages`; in a .txt file a line is a text. */
export const texts: Read<TextRow> = rowsOf(textRow, (text) => ({ text }))

/** Prompt only: `prompt`, or the prompt of a row of the other formats; in a .txt file a line is a prompt. */
export const prompts: Read<PromptRow> = rowsOf(promptRow, (prompt) => ({ prompt }))

/** Prompt-completion: `prompt` and `completion`, or `messages` split at the last assistant turn. */
export const demonstrations: Read<DemonstrationRow> = rowsOf(demonstrationRow, pairsNeedJson)

/** Preference: `chosen` and `rejected`, with an explicit or implicit prompt. */
export const preferences: Read<PreferenceRow> = rowsOf(preferenceRow, pairsNeedJson)

/** Unpaired preference: `prompt` and `completion`, or `messages`, with `label`. */
export const unpairedPreferences: Read<UnpairedPreferenceRow> = rowsOf(unpairedPreferenceRow, pairsNeedJson)

/** Rankings: `prompt` and `completions`, best first or with `scores`. */
export const rankings: Read<RankingRow> = rowsOf(rankingRow, pairsNeedJson)

/** Stepwise supervision: `prompt`, `completions` and `labels`. */
export const stepwise: Read<StepwiseRow> = rowsOf(stepwiseRow, pairsNeedJson)
