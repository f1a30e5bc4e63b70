import { parse } from "csv-parse/sync"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { BadData } from "../../src/data/badData.ts"
import { recordsBy } from "../../src/data/csv.ts"
import { Unfit } from "../../src/data/encode.ts"

/** Rows with their lines, or the mark of an error, of bytes that come in pieces of `size`. */
const read = async (bytes: Buffer, size: number, kind: "," | "\t" = ","): Promise<ReadonlyArray<unknown> | "error"> => {
  const pieces = async function*() {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }
  const rows: Array<unknown> = []
  try {
    for await (const found of recordsBy(kind, {})(pieces(), "a.csv")) {
      for (const { line, note, value } of found) {
        try {
          rows.push({ line, row: value(), ...(note === undefined ? {} : { note }) })
        } catch (error) {
          if (!(error instanceof Unfit)) throw error
          rows.push({ line, row: "unfit" })
        }
      }
    }
  } catch (error) {
    if (error instanceof BadData) return "error"
    throw error
  }
  return rows
}

/** The same by `csv-parse`. */
const expected = (text: string, lineBreak: string): ReadonlyArray<unknown> | "error" => {
  let records: ReadonlyArray<{ readonly record: ReadonlyArray<string>; readonly info: { readonly bytes: number } }>
  try {
    records = parse(text, { info: true, relax_column_count: true, record_delimiter: lineBreak } as never)
  } catch {
    return "error"
  }
  const bytes = Buffer.from(text)
  let [names, line, from]: [ReadonlyArray<string> | undefined, number, number] = [undefined, 1, 0]
  const rows: Array<unknown> = []
  for (const { info, record } of records) {
    const at = line
    const raw = bytes.toString("utf8", from, info.bytes)
    from = info.bytes
    line += raw.split(lineBreak).length - 1
    if (record.length === 1 && record[0] === "" && !raw.startsWith('"')) continue
    if (names === undefined) names = record
    else {
      const columns = names
      const row = Object.fromEntries(record.map((cell, i) => [columns[i], cell]))
      rows.push({ line: at, row: record.length === columns.length ? row : "unfit" })
    }
  }
  return rows
}

const piece = fc.constantFrom(
  "a",
  "é",
  '"',
  '""',
  ",",
  ";",
  "\t",
  " ",
  "NEWLINE",
  "NEWLINE",
  '"x',
  'y"',
  '","',
  "\u2028"
)
const body = fc.array(piece, { maxLength: 30 }).map((parts) => parts.join(""))
const sizes = fc.constantFrom(1, 2, 3, 7, 1000)

describe("cells of CSV", () => {
  it("are csv-parse's, with the same lines, and the same files are errors, however the bytes come", () =>
    fc.assert(
      fc.asyncProperty(body, sizes, fc.constantFrom("\n", "\r\n", "\r"), async (body, size, lineBreak) => {
        const text = `p,q\n${body}`.replaceAll(/NEWLINE|\n/gu, lineBreak)
        assert.deepStrictEqual(await read(Buffer.from(text), size), expected(text, lineBreak), JSON.stringify(text))
      }),
      { numRuns: 2000 }
    ))

  it("are what was written, with any of the separators, which is said where it is no comma", () => {
    const cell = fc.string({ unit: fc.constantFrom("a", '"', ",", ";", "\t", "\n", "\r", " ", "\ud83d\ude00") })
    return fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...([[",", ","], [";", ","], ["\t", ","], ["\t", "\t"]] as const)),
        fc.constantFrom("\n", "\r\n", "\r"),
        sizes,
        async (rows, [separator, kind], lineBreak, size) => {
          const text = [["p", "q"], ...rows]
            .map((cells) => cells.map((one) => `"${one.replaceAll('"', '""')}"`).join(separator) + lineBreak).join("")
          const read_ = await read(Buffer.from(text), size, kind)
          if (read_ === "error") assert.fail(text)
          const name = { ";": "semicolons", "\t": "tabs", ",": "" }[separator]
          const note = separator === kind ? {} : { note: `cells separated by ${name}` }
          assert.deepStrictEqual(
            read_.map((one) => ({ ...one as object, line: 0 })),
            rows.map(([p, q]) => ({ line: 0, row: { p, q }, ...note }))
          )
        }
      )
    )
  })

  it("of one column hold any separator", async () => {
    assert.deepStrictEqual(await read(Buffer.from("text\na;b\tc\n"), 4), [{ line: 2, row: { text: "a;b\tc" } }])
  })
})
