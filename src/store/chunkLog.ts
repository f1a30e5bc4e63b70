/**
 * The chunks of an unfinished stage, appended to one file: a line each, its SHA-256 before it. What follows the first line that does not
 * verify, cut off by a crash or damaged, is removed by its next owner: its chunks are made again, to the same bytes.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { bytesOf } from "../model/regularFile.ts"
import { fromJson, toJson } from "./spent.ts"
import { type Chunk, StoreDamaged } from "./store.ts"

const Line = Schema.fromJsonString(Schema.Struct({
  part: Schema.String,
  items: Schema.Natural,
  rows: Schema.Array(Schema.Json),
  spent: Schema.Json
}))

const digest = (text: Uint8Array | string): string => createHash("sha256").update(text).digest("hex")

const digits = digest("").length

export const append = Effect.fnUntraced(function*(path: string, chunk: Chunk) {
  const fs = yield* FileSystem.FileSystem
  const text = JSON.stringify({ ...chunk, spent: toJson(chunk.spent) })
  yield* Effect.scoped(Effect.gen(function*() {
    const file = yield* fs.open(path, { flag: "a" })
    yield* file.writeAll(new TextEncoder().encode(`${digest(text)} ${text}\n`))
    yield* file.sync
  }))
})

/** The chunk of a line without its end; none when the line does not verify. */
const verified = (line: Buffer): Option.Option<Chunk> => {
  const text = line.subarray(digits + 1)
  if (line.subarray(0, digits).toString("latin1") !== digest(text)) return Option.none()
  return Option.flatMap(
    Schema.decodeUnknownOption(Line)(text.toString("utf8")),
    ({ spent, ...chunk }) => Option.map(fromJson(spent), (spent) => ({ ...chunk, spent }))
  )
}

const scan = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const chunks: Array<Chunk> = []
  if (!(yield* fs.exists(path))) return { chunks, end: 0, length: 0 }
  const file = yield* Effect.catchTag(
    bytesOf(path),
    "Unreadable",
    ({ problem }) => Effect.fail(new StoreDamaged({ path, problem }))
  )
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  let at = 0
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
    const chunk = verified(bytes.subarray(at, end))
    if (Option.isNone(chunk)) break
    chunks.push(chunk.value)
    at = end + 1
  }
  return { chunks, end: at, length: bytes.length }
})

/** The chunks in `path`, none without that file. */
export const read = (path: string) => Effect.map(scan(path), ({ chunks }) => chunks)

/** The same, for the owner of the file: what does not verify is removed. */
export const mended = Effect.fnUntraced(function*(path: string) {
  const { chunks, end, length } = yield* scan(path)
  if (end < length) yield* (yield* FileSystem.FileSystem).truncate(path, end)
  return chunks
})
