/**
 * A folder that is written once and never changed: its files and, last, a manifest with the bytes and the SHA-256 of each of them, the key
 * of the node that it belongs to, and a SHA-256 of itself. A folder without a manifest is not whole.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { dirname, join } from "node:path"
import { syncDirectory, writeSynced } from "../model/folder.ts"
import { textOf } from "../model/regularFile.ts"
import { StoreDamaged } from "./store.ts"

const Listed = Schema.Struct({ bytes: Schema.Natural, sha256: Schema.String })
type Listed = typeof Listed.Type

/** What every manifest says. */
const Head = { key: Schema.String, files: Schema.Record(Schema.String, Listed) }

/** The schema of a manifest with fields of its own. */
export const manifestOf = <F extends Schema.Struct.Fields>(fields: F) =>
  Schema.Struct({ keel: Schema.Literal(2), ...Head, ...fields })

export const digest = (bytes: string | Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** JSON that says by its last field whether a byte of it has changed. */
export const signed = (json: object): string => `${JSON.stringify({ ...json, sha256: digest(JSON.stringify(json)) })}\n`

/** The JSON that was signed; undefined for any other text. */
export const unsigned = (text: string): object | undefined => {
  try {
    const { sha256: _, ...json } = JSON.parse(text) as { readonly sha256: unknown }
    return signed(json) === text ? json : undefined
  } catch {
    return undefined
  }
}

let count = 0

/** Writes a file atomically: a sibling with a name that no other process or attempt has, synced, renamed. */
export const writeFileAtomic = Effect.fnUntraced(function*(path: string, contents: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const partial = `${path}.${process.pid}-${count++}.partial`
  yield* writeSynced(partial, typeof contents === "string" ? new TextEncoder().encode(contents) : contents).pipe(
    Effect.andThen(fs.rename(partial, path)),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
})

/** Path within the folder → contents, in one piece or several. */
export type Files = Iterable<readonly [string, string | Uint8Array | Iterable<Uint8Array>]>

/** Writes the folder `at`, whose parent must exist, with the manifest `name` of the fields `head`; returns the bytes of its files. */
export const seal = Effect.fnUntraced(
  function*(at: string, name: string, head: { readonly key: string }, files: Files) {
    const fs = yield* FileSystem.FileSystem
    // A parent that is gone is another's by now: it must not be made again.
    yield* fs.makeDirectory(at)
    const made = new Set<string>([at])
    const listed: Record<string, Listed> = {}
    let sum = 0
    for (const [path, contents] of files) {
      const pieces = typeof contents === "string"
        ? [new TextEncoder().encode(contents)]
        : contents instanceof Uint8Array
        ? [contents]
        : contents
      const hash = createHash("sha256")
      let bytes = 0
      const counted = function*(): Generator<Uint8Array> {
        for (const piece of pieces) {
          hash.update(piece)
          bytes += piece.length
          yield piece
        }
      }
      const folder = dirname(join(at, path))
      if (!made.has(folder)) yield* fs.makeDirectory(folder)
      made.add(folder)
      yield* writeSynced(join(at, path), counted())
      listed[path] = { bytes, sha256: hash.digest("hex") }
      sum += bytes
    }
    yield* writeFileAtomic(join(at, name), signed({ keel: 2, ...head, files: listed }))
    for (const folder of made) yield* syncDirectory(folder)
    return sum
  }
)

/** Reads a file that the folder must hold: a missing file is damage. */
export const whole = <A, R>(path: string, read: Effect.Effect<A, PlatformError.PlatformError | StoreDamaged, R>) =>
  Effect.mapError(
    read,
    (error) =>
      error._tag === "PlatformError" && error.reason._tag === "NotFound"
        ? new StoreDamaged({ path, problem: "it is gone" })
        : error
  )

/** The text of a file that the folder must hold: anything else in its place, such as a pipe, is damage. */
export const textIn = (path: string) =>
  whole(
    path,
    Effect.catchTag(textOf(path), "Unreadable", ({ problem }) => Effect.fail(new StoreDamaged({ path, problem })))
  )

/** The manifest of the folder `at`; its files are not read. */
export const manifest = Effect.fnUntraced(function*<A extends { readonly key: string }, I>(
  at: string,
  name: string,
  schema: Schema.Codec<A, I>,
  key: string
) {
  const path = join(at, name)
  const json = unsigned(yield* textIn(path))
  if (json === undefined) return yield* new StoreDamaged({ path, problem: "it was changed after Keel wrote it" })
  const read = yield* Effect.mapError(
    Schema.decodeUnknownEffect(schema)(json),
    (error) => new StoreDamaged({ path, problem: `not what Keel writes there: ${error.message}` })
  )
  if (read.key !== key) return yield* new StoreDamaged({ path, problem: `it is of another node, ${read.key}` })
  return read
})

const changed = (path: string) => new StoreDamaged({ path, problem: "it was changed after Keel wrote it" })

/** The text of a small file of the folder, compared with its manifest. */
export const text = Effect.fnUntraced(function*(at: string, path: string, { sha256 }: Listed) {
  const read = yield* textIn(join(at, path))
  return digest(read) === sha256 ? read : yield* changed(join(at, path))
})

/** Bytes in memory at once. */
const chunk = 1 << 22

const digestOf = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.open(path, { flag: "r" })
  const hash = createHash("sha256")
  const bytes = new Uint8Array(chunk)
  for (;;) {
    const read = yield* file.read(bytes)
    if (read === 0) return hash.digest("hex")
    hash.update(bytes.subarray(0, read))
  }
}, Effect.scoped)

/** Compares every file of the folder, but `others`, with its manifest: SHA-256 reads about 1 GB/s, as fast as a disk. */
export const verify = Effect.fnUntraced(
  function*(
    at: string,
    name: string,
    { files }: { readonly files: Readonly<Record<string, Listed>> },
    others: ReadonlyArray<string> = []
  ) {
    const fs = yield* FileSystem.FileSystem
    for (const path of yield* fs.readDirectory(at, { recursive: true })) {
      // Those that a system leaves in folders that are looked at.
      if (path === name || others.includes(path) || path in files || /(?:^|\/)\./u.test(path)) continue
      if ((yield* fs.stat(join(at, path))).type === "Directory") continue
      return yield* new StoreDamaged({
        path: join(at, path),
        problem: "Keel did not write it there",
        remedy: "Move it elsewhere."
      })
    }
    for (const [path, { bytes, sha256 }] of Object.entries(files)) {
      const { size, type } = yield* whole(join(at, path), fs.stat(join(at, path)))
      if (type !== "File" || Number(size) !== bytes || (yield* digestOf(join(at, path))) !== sha256) {
        return yield* changed(join(at, path))
      }
    }
  }
)
