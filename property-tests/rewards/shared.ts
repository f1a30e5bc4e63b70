/** Rows of `../shared/data`, where that folder is. */
import { existsSync, readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"

const file = (name: string): URL => new URL(`../../../shared/data/${name}.jsonl.gz`, import.meta.url)

export const isHere = (name: string): boolean => existsSync(file(name))

export const rowsOf = <Row>(name: string): ReadonlyArray<Row> =>
  gunzipSync(readFileSync(file(name))).toString("utf8").split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Row)
