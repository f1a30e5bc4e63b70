/**
 * SHA-256 of files, kept in the store by path, inode, size and times, so that a large file is read once. A file that changed within two
 * seconds of its reading is read again, because it may change once more at the same time by the clock of its disk; `ctime` cannot be set
 * back. A cache that is not as Keel wrote it counts as none.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import { textOf } from "../model/regularFile.ts"
import { signed, unsigned, writeFileAtomic } from "./sealed.ts"

const Known = Schema.Record(Schema.String, Schema.Struct({ was: Schema.String, sha256: Schema.String }))
type Known = { [path: string]: typeof Known.Type[string] }

const Cache = Schema.Struct({ keel: Schema.Literal(1), files: Known })

/** Milliseconds after a change in which a file may change again without a trace. */
const unsettled = 2000

/** Read at a time. */
const chunk = 1 << 22

export interface Digests {
  /** SHA-256 of a file; null for anything that is not a file. */
  readonly of: (path: string) => Effect.Effect<string | null>
  /** Writes the cache. */
  readonly keep: Effect.Effect<void>
}

/** What the system says of a file, and when it last changed. */
const looked = (path: string) =>
  Effect.promise(() => stat(path, { bigint: true }).catch(() => undefined)).pipe(
    Effect.map((found) =>
      found?.isFile() !== true ? undefined : {
        was: [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(" "),
        changed: Number((found.mtimeNs > found.ctimeNs ? found.mtimeNs : found.ctimeNs) / 1_000_000n)
      }
    )
  )

const read = Effect.fnUntraced(function*(fs: FileSystem.FileSystem, path: string) {
  const file = yield* fs.open(path, { flag: "r" })
  const [hash, bytes] = [createHash("sha256"), new Uint8Array(chunk)]
  for (;;) {
    const count = yield* file.read(bytes)
    if (count === 0) return hash.digest("hex")
    hash.update(bytes.subarray(0, count))
  }
}, Effect.scoped)

/** The digests of files, with the cache in the folder `store`. */
export const digestsIn = Effect.fn("digestsIn")(function*(store: string) {
  const fs = yield* FileSystem.FileSystem
  const at = join(store, "digests.json")
  const text = yield* Effect.orElseSucceed(textOf(at), () => "")
  const cache = Option.getOrUndefined(Schema.decodeUnknownOption(Cache)(unsigned(text)))
  const known: Known = { ...cache?.files }
  let fresh = false
  return {
    of: Effect.fnUntraced(function*(path) {
      const name = resolve(path)
      for (;;) {
        const before = yield* looked(name)
        if (before === undefined) return null
        if (known[name]?.was === before.was) return known[name].sha256
        const now = Date.now()
        const sha256 = yield* Effect.orElseSucceed(read(fs, name), () => null)
        if ((yield* looked(name))?.was !== before.was) continue
        if (sha256 !== null && before.changed < now - unsettled) {
          known[name] = { was: before.was, sha256 }
          fresh = true
        }
        return sha256
      }
    }),
    keep: Effect.suspend(() => {
      if (!fresh) return Effect.void
      fresh = false
      // A cache that cannot be written costs time alone.
      return Effect.ignore(
        Effect.andThen(
          fs.makeDirectory(store, { recursive: true }),
          writeFileAtomic(at, signed({ keel: 1, files: known }))
        )
      ).pipe(
        Effect.provideService(FileSystem.FileSystem, fs)
      )
    })
  } satisfies Digests as Digests
})
