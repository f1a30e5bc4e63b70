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

/** Bytes of values that an array holds in memory, and all arrays together. */
export const [held, heldInAll] = [16 * MiB, 64 * MiB]
/** Of the objects around a value. */
const around = 384
/** Written at a time. */
const block = 4 * MiB
/** Read at a time, of values that are looked at one after another. */
const ahead = 64 * 1024

export interface Growing<A> {
  /** `bytes`: the memory that the value takes, roughly. A row from a file has its place whenever it is looked at. */
  readonly push: (value: A, bytes: number, place?: Place) => void
  readonly length: () => number
  readonly at: (i: number) => A
  /** All values, once no more are pushed. */
  readonly all: () => ReadonlyArray<A>
}

/** Bytes of values that all arrays hold now. */
let inAll = 0
const releasing = new FinalizationRegistry<{ bytes: number }>(({ bytes }) => {
  inAll -= bytes
})
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

/** Where values begin that are written one after another: 4 bytes a value. */
const offsets = () => {
  const [stride, size] = [64, 1 << 16]
  const lengths: Array<Uint32Array> = []
  const starts: Array<number> = []
  let [count, end] = [0, 0]
  return {
    count: () => count,
    push: (length: number) => {
      if (count % size === 0) lengths.push(new Uint32Array(size))
      if (count % stride === 0) starts.push(end)
      lengths.at(-1)![count++ % size] = length
      end += length
    },
    of: (i: number): { readonly start: number; readonly length: number } => {
      const near = lengths[Math.floor(i / size)]!
      let start = starts[Math.floor(i / stride)]!
      for (let j = i - i % stride; j < i; j++) start += near[j % size]!
      return { start, length: near[i % size]! }
    }
  }
}

/** Values on disk, each by its number, with their places. */
const spill = <A>() => {
  const file = allowed("open", nameless)
  const places = offsets()
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
  const read = (start: number, length: number): Uint8Array => {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < bytes.length;) {
      const count = readSync(file, bytes, at, bytes.length - at, start + at)
      if (count === 0) throw new Error("the file of rows is shorter than it was written")
      at += count
    }
    return bytes
  }
  /** The bytes that were read last, and the value after the last that was looked at. */
  let near: Uint8Array = new Uint8Array(0)
  let [from, next] = [0, 0]
  const bytesOf = (i: number): Uint8Array => {
    const unwritten = i - (places.count() - pending.length)
    if (unwritten >= 0) return pending[unwritten]!
    const { length, start } = places.of(i)
    if (start < from || start + length > from + near.length) {
      if (i !== next) return read(start, length)
      near = read(start, Math.max(length, Math.min(ahead, written - start)))
      from = start
    }
    return near.subarray(start - from, start - from + length)
  }
  const one = {
    push: (value: A, place: Place | undefined) => {
      const bytes = serialize([value, place?.path, place?.line])
      places.push(bytes.length)
      pending.push(bytes)
      waiting += bytes.length
      if (waiting >= block) flush()
    },
    at: (i: number): A => {
      const [value, path, line] = deserialize(bytesOf(i)) as [A, string | undefined, number]
      next = i + 1
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
  const mine = { bytes: 0 }
  releasing.register(first, mine)
  let count = 0
  const at = (i: number): A => i < first.length ? first[i]! : rest!.at(i - first.length)
  return {
    push: (value, bytes, place) => {
      count++
      const more = bytes + (typeof value === "object" ? around : 0)
      if (rest !== undefined || mine.bytes + more > most || inAll + more > heldInAll) {
        return (rest ??= spill<A>()).push(value, place)
      }
      mine.bytes += more
      inAll += more
      first.push(place === undefined ? value : withPlace(value, place))
    },
    length: () => count,
    at,
    all: () => rest === undefined ? first : viewed(count, at)
  }
}

/** The array of `make(0)` … `make(length − 1)`, each made when it is first looked at, and kept. */
export const keeping = <A>(length: number, make: (i: number) => A, bytesOf: (made: A) => number): ReadonlyArray<A> => {
  const made = growing<A>()
  /** Of each element its number among those that were made, from 1; 0 for none. */
  const numbers = new Uint32Array(length)
  return viewed(length, (i) => {
    if (numbers[i]! > 0) return made.at(numbers[i]! - 1)
    const value = make(i)
    made.push(value, bytesOf(value))
    numbers[i] = made.length()
    return value
  })
}
