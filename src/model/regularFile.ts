/**
 * Reads a file that a person named, of a known largest size. Only regular files: a pipe or a device may have no end, and waits for
 * ever where nobody writes to it.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { totalmem } from "node:os"

/** A path that leads to something else than a regular file, or to a larger file than expected there. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", {
  path: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}

/** Largest sizes, bytes. */
export const MiB = 1 << 20
/** The most that Node puts into a string. */
export const longestText = 511 * MiB

const kinds: Readonly<Record<string, string>> = {
  Directory: "a folder",
  FIFO: "a named pipe",
  Socket: "a socket",
  CharacterDevice: "a device",
  BlockDevice: "a device"
}

/** Node reads at most 2 GiB at once. */
const chunk = 1 << 28

/** The size of a regular file, bytes; fails if that is more than `most` (the memory of this machine), or if it is none. */
export const sizeOf = Effect.fnUntraced(function*(path: string, most = totalmem()) {
  const fs = yield* FileSystem.FileSystem
  const { size, type } = yield* fs.stat(path)
  if (type === "File" && Number(size) <= most) return Number(size)
  return yield* new Unreadable(
    type === "File"
      ? {
        path,
        problem: `it has ${size} bytes, and at most ${most} are read from such a file`,
        remedy: "Check that it is the right file."
      }
      : {
        path,
        problem: `it is ${kinds[type] ?? "no file"}, and only regular files are read`,
        remedy: type === "Directory" ? "Give the path of a file in it." : "Write its content to a file and give that."
      }
  )
})

/** How a file begins that Git LFS leaves where it has not fetched the file. */
const pointer = new TextEncoder().encode("version https://git-lfs.github.com/spec/")
export const isPointer = (bytes: Uint8Array): boolean => pointer.every((byte, i) => bytes[i] === byte)
export const notFetched = {
  problem: "it is a pointer of Git LFS, in the place of the file itself",
  remedy: "Fetch the file: git lfs pull, in the folder of the clone."
} as const

/** The bytes of a regular file of at most `most` bytes, or only the first of them. */
export const bytesOf = (path: string, most = totalmem(), first = Infinity) =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const size = Math.min(first, yield* sizeOf(path, most))
    const bytes = yield* Effect.try({
      try: () => new Uint8Array(size),
      catch: () =>
        new Unreadable({
          path,
          problem: `it has ${size} bytes, and so much memory is not there`,
          remedy: "Check that it is the right file, or take a larger machine."
        })
    })
    const file = yield* fs.open(path, { flag: "r" })
    let at = 0
    while (at < bytes.length) {
      const read = Number(yield* file.read(bytes.subarray(at, at + chunk)))
      if (read === 0) break
      at += read
    }
    if (isPointer(bytes)) return yield* new Unreadable({ path, ...notFetched })
    return bytes.subarray(0, at)
  }))

/** The text of a regular file, UTF-8, without a byte order mark. */
export const textOf = (path: string, most = longestText) =>
  Effect.map(bytesOf(path, most), (bytes) => new TextDecoder().decode(bytes))
