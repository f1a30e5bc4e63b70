/**
 * The chunks of an unfinished stage, appended to one file: a line each, before it the SHA-256 of it, its place and the stage's key. What
 * follows the first line that does not verify (cut off by a crash, damaged, moved, of another stage) is removed by its next owner: its
 * chunks are made again, to the same bytes.
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

/** Of a line that begins at the byte `at`. */
const digest = (key: string, at: number, text: Uint8Array | string): string =>
  createHash("sha256").update(`${key} ${at} `).update(text).digest("hex")

const digits = 64

export const append = Effect.fnUntraced(function*(path: string, key: string, chunk: Chunk) {
  const fs = yield* FileSystem.FileSystem
  const text = JSON.stringify({ ...chunk, spent: toJson(chunk.spent) })
  yield* Effect.scoped(Effect.gen(function*() {
    const file = yield* fs.open(path, { flag: "a" })
    const at = Number((yield* file.stat).size)
    yield* file.writeAll(new TextEncoder().encode(`${digest(key, at, text)} ${text}\n`))
    yield* file.sync
  }))
})

/** The chunk of a line without its end; none when the line does not verify. */
const verified = (key: string, at: number, line: Buffer): Option.Option<Chunk> => {
  const text = line.subarray(digits + 1)
  if (line.subarray(0, digits).toString("latin1") !== digest(key, at, text)) return Option.none()
  return Option.flatMap(
    Schema.decodeUnknownOption(Line)(text.toString("utf8")),
    ({ spent, ...chunk }) => Option.map(fromJson(spent), (spent) => ({ ...chunk, spent }))
  )
}

const scan = Effect.fnUntraced(function*(path: string, key: string) {
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
    const chunk = verified(key, at, bytes.subarray(at, end))
    if (Option.isNone(chunk)) break
    chunks.push(chunk.value)
    at = end + 1
  }
  return { chunks, end: at, length: bytes.length }
})

/** The chunks in `path`, none without that file. */
export const read = (path: string, key: string) => Effect.map(scan(path, key), ({ chunks }) => chunks)

/** The same, for the owner of the file: what does not verify is removed. */
export const mended = Effect.fnUntraced(function*(path: string, key: string) {
  const { chunks, end, length } = yield* scan(path, key)
  if (end < length) yield* (yield* FileSystem.FileSystem).truncate(path, end)
  return chunks
})
