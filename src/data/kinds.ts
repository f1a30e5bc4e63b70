/** The kinds of files that rows are read from, by the ends of their names. */
import { BadData } from "./badData.ts"
import { bytesIn, withoutMark } from "./bytes.ts"
import * as csv from "./csv.ts"
import * as jsonArray from "./jsonArray.ts"
import * as lines from "./lines.ts"
import * as parquet from "./parquet.ts"
import type { Records } from "./record.ts"

type FromText = (pieces: AsyncGenerator<Uint8Array>, path: string) => Records

const fromText = (fields: Readonly<Record<string, string>>): Readonly<Record<string, FromText>> => ({
  jsonl: lines.objects,
  ndjson: lines.objects,
  json: jsonArray.objects,
  csv: csv.recordsBy(",", fields),
  tsv: csv.recordsBy("\t", fields),
  txt: lines.texts
})

/** Its kind, without the packing around it. */
export const kindOf = (path: string): string | undefined =>
  /\.(?:(jsonl|ndjson|json|csv|tsv|txt)(?:\.gz|\.zst)?|(parquet))$/iu.exec(path)?.slice(1).find((kind) =>
    kind !== undefined
  )?.toLowerCase()

/** The records of a file. Throws `BadData`. */
export const recordsIn = (path: string, fields: Readonly<Record<string, string>>): Records => {
  const kind = kindOf(path)
  if (kind === "parquet") return parquet.recordsOf(path)
  if (kind !== undefined) return fromText(fields)[kind]!(withoutMark(bytesIn(path)), path)
  throw new BadData({
    path,
    line: 0,
    problem: "not a kind of file that rows are read from",
    remedy: "Give a .jsonl, .json, .csv, .tsv or .txt file, or one of them with .gz or .zst, or a .parquet file."
  })
}
