import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { gunzip } from "node:zlib"
import { BadData } from "./badData.ts"
import { windows } from "../model/foreign.ts"
import { parsePlain } from "../model/json.ts"
import { bytesOf, MiB } from "../model/regularFile.ts"
import { Unfit } from "./encode.ts"
import * as formats from "./formats.ts"
import { placed } from "./places.ts"
import { rankingRow, stepwiseRow } from "./rankingFormats.ts"

/** Reads users' data: `.jsonl` (an object a line) and `.txt` (a text a line), plain or gzipped. */
export interface Options extends formats.RowFormat {
  /** Reads at most this many rows. */
  readonly limit?: number
}

const kinds = "Give a .jsonl, .jsonl.gz, .txt or .txt.gz file."

/** Most bytes of a file of rows, packed or not. */
const most = 2048 * MiB

/** A text is seldom packed to less than a twentieth; a file that is made to fill the memory, to a thousandth. */
const mostUnpacked = (packed: Uint8Array): number => Math.min(most, Math.max(64 * MiB, 200 * packed.length))

/** Fails with whether the data are too large; else they are damaged. */
const unzipped = (packed: Uint8Array) =>
  Effect.callback<Uint8Array, boolean>((resume) => {
    gunzip(packed, { maxOutputLength: mostUnpacked(packed) }, (error, bytes) =>
      resume(
        error === null
          ? Effect.succeed(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
          : Effect.fail((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      ))
  })

/** The bytes of a file, unpacked. */
const contentOf = Effect.fnUntraced(function*(path: string) {
  const bad = (problem: string, remedy: string, line = 0) => new BadData({ path, line, problem, remedy })
  if (!/\.(?:jsonl|txt)(?:\.gz)?$/u.test(path)) return yield* bad("not a kind of file that rows are read from", kinds)
  const packed = yield* bytesOf(path, most).pipe(
    Effect.catchTag("Unreadable", ({ problem, remedy }) => Effect.fail(bad(problem, remedy))),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.fail(bad("no such file", "Check the path."))),
    Effect.catchTag(
      "PlatformError",
      (error) => Effect.fail(bad(`cannot be read: ${error.message}`, "Check that it is a file, and who may read it."))
    )
  )
  const zipped = packed[0] === 0x1f && packed[1] === 0x8b
  const bytes = zipped
    ? yield* Effect.mapError(unzipped(packed), (large) =>
      large
        ? bad(
          `it unpacks to more than ${mostUnpacked(packed)} bytes`,
          "Unpack it if you trust it, and give the plain file."
        )
        : bad("the gzip data is damaged or cut off", "Fetch or compress the file again."))
    : packed
  if (!zipped && path.endsWith(".gz") && bytes.length > 0) {
    return yield* bad("not gzip data", "Drop .gz from the name, or compress it.")
  }
  return bytes
})

/** Most bytes of a line. */
const mostInLine = 256 * MiB

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const decode = (line: Uint8Array): string => {
  let text: string
  if (line.length > mostInLine) {
    throw new Unfit(`it has ${line.length} bytes, and at most ${mostInLine} are read`, kinds)
  }
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
    value = parsePlain(line)
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

/** Bad rows that an error shows. */
const shownRows = 5

interface BadRow {
  readonly line: number
  readonly error: Unfit
}

/** `count` bad rows as an error: the first with its remedy, the number of others, and some of them. */
const badRows = (path: string, [first, ...others]: readonly [BadRow, ...Array<BadRow>], count: number): BadData => {
  const shown = others.map(({ error, line }) => `line ${line}: ${error.message.slice(0, 80)}`)
  if (count - 1 > others.length) shown.push("…")
  const more = count === 1 ? "" : `; ${count - 1} other row${count === 2 ? " is" : "s are"} bad (${shown.join("; ")})`
  const { error, line } = first
  return new BadData({ path, line, problem: `${error.message}${more}`, remedy: error.remedy })
}

/**
 * All rows of a file, or what is wrong with it. Lines are UTF-8, split on "\n" only (texts may hold U+2028 or U+0085),
 * and decoded one by one, so that a bad byte has a line number. Of formats that lines of plain text have no fields for, `plain` is left
 * out.
 */
export const rowsOf = <Row extends object>(
  row: (json: formats.Json, format: formats.RowFormat) => Row,
  plain: (text: string) => Row = needsJson
) =>
  Effect.fn("data.read")(function*(path: string, options: Options = {}) {
    const { limit = Infinity } = options
    const bytes = yield* contentOf(path)
    const isJson = /\.jsonl(?:\.gz)?$/u.test(path)
    const rows: Array<Row> = []
    // After the mark of UTF-8 that some editors put in front.
    let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
    let number = 1
    const bad: Array<BadRow> = []
    let count = 0
    // Rows of conversations are rendered by the model's template.
    const piece = (): Result.Result<"more" | "done", BadData> => {
      for (; bytes[start] === 0x0a; start++) number++
      if (start > bytes.length || rows.length + count >= limit) return Result.succeed("done")
      const feed = bytes.indexOf(0x0a, start)
      const end = feed < 0 ? bytes.length : feed
      try {
        const line = decode(bytes.subarray(start, end))
        if (line.trim() !== "") rows.push(placed(isJson ? row(asJson(line), options) : plain(line), path, number))
      } catch (error) {
        if (!(error instanceof Unfit)) throw error
        if (count++ < shownRows) bad.push({ line: number, error })
      }
      start = end + 1
      number++
      return Result.succeed("more")
    }
    yield* windows(piece, ({ problem, remedy }) => new BadData({ path, line: number, problem, remedy }))
    const [first, ...others] = bad
    if (first !== undefined) return yield* badRows(path, [first, ...others], count)
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
