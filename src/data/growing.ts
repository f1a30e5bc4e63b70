/**
 * An array that only grows. Values beyond the memory that it may take are written to a file and read again when they are looked at; the
 * file has no name any more, so that it goes with the process, however that ends.
 */
import { systemError } from "effect/PlatformError"
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { deserialize, serialize } from "node:v8"
import { MiB } from "../model/regularFile.ts"
import { viewed } from "./lazyArray.ts"
import { type Place, placed } from "./places.ts"

/** Bytes of values that an array holds in memory. */
export const held = 128 * MiB
/** Of the objects around a value. */
const around = 384
/** Written at a time. */
const block = 4 * MiB

export interface Growing<A> {
  /** `bytes`: the memory that the value takes, roughly. A row from a file has its place whenever it is looked at. */
  readonly push: (value: A, bytes: number, place?: Place) => void
  readonly length: () => number
  /** All values, once no more are pushed. */
  readonly all: () => ReadonlyArray<A>
}

const closing = new FinalizationRegistry<number>((file) => closeSync(file))

/** On a disk: the other folder for temporary files is in memory on some systems. */
const onDisk = (): string => process.env["TMPDIR"] ?? (existsSync("/var/tmp") ? "/var/tmp" : tmpdir())

/** Throws `PlatformError` with the folder where the system refuses `work`: a full disk is no bug. */
const allowed = <A>(method: string, work: () => A): A => {
  try {
    return work()
  } catch (cause) {
    throw systemError({ _tag: "Unknown", module: "FileSystem", method, pathOrDescriptor: onDisk(), cause })
  }
}

/** A file in the folder for temporary files that only this process sees. */
const nameless = (): number => {
  const folder = mkdtempSync(join(onDisk(), "keel-rows-"))
  try {
    return openSync(join(folder, "rows"), "wx+", 0o600)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const withPlace = <A>(value: A, { line, path }: Place): A =>
  typeof value === "object" && value !== null ? placed(value, path, line) : value

/** Values on disk, each by its number, with their places. */
const spill = <A>() => {
  const file = allowed("open", nameless)
  /** Where each value begins; behind the last, where the next will. */
  let starts = new Float64Array(1024)
  let count = 0
  let written = 0
  let pending: Array<Uint8Array> = []
  let waiting = 0
  const flush = () => {
    const bytes = Buffer.concat(pending)
    allowed("write", () => {
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at, written + at)
    })
    written += bytes.length
    pending = []
    waiting = 0
  }
  const one = {
    push: (value: A, place: Place | undefined) => {
      const bytes = serialize([value, place?.path, place?.line])
      if (count + 2 > starts.length) {
        const longer = new Float64Array(2 * starts.length)
        longer.set(starts)
        starts = longer
      }
      starts[++count] = starts[count - 1]! + bytes.length
      pending.push(bytes)
      waiting += bytes.length
      if (waiting >= block) flush()
    },
    at: (i: number): A => {
      if (waiting > 0) flush()
      const bytes = Buffer.allocUnsafe(starts[i + 1]! - starts[i]!)
      for (let at = 0; at < bytes.length;) {
        const read = readSync(file, bytes, at, bytes.length - at, starts[i]! + at)
        if (read === 0) throw new Error("the file of rows is shorter than it was written")
        at += read
      }
      const [value, path, line] = deserialize(bytes) as [A, string | undefined, number]
      return path === undefined ? value : withPlace(value, { path, line })
    }
  }
  closing.register(one, file)
  return one
}

/** An empty array of values that survive structured cloning. */
export const growing = <A>(most = held): Growing<A> => {
  const first: Array<A> = []
  let rest: ReturnType<typeof spill<A>> | undefined
  let bytesHeld = 0
  let count = 0
  return {
    push: (value, bytes, place) => {
      count++
      bytesHeld += bytes + around
      if (bytesHeld > most) (rest ??= spill<A>()).push(value, place)
      else first.push(place === undefined ? value : withPlace(value, place))
    },
    length: () => count,
    all: () => {
      const spilled = rest
      return spilled === undefined
        ? first
        : viewed(count, (i) => i < first.length ? first[i]! : spilled.at(i - first.length))
    }
  }
}
