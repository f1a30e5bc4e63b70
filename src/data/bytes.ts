/** The bytes of a file in pieces, unpacked; memory does not depend on its size. */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { pipeline, Readable, type Transform } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import { isPointer, MiB, notFetched } from "../model/regularFile.ts"
import { BadData } from "./badData.ts"

/** A way of packing, by the bytes that it begins with. */
const packings = [
  { name: "gzip", ends: ".gz", magic: [0x1f, 0x8b], unpack: createGunzip },
  { name: "zstd", ends: ".zst", magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: createZstdDecompress }
] as const

/** A text is seldom packed to less than a twentieth; a file that is made to fill a disk, to a thousandth. */
const mostUnpacked = (packed: number): number => Math.max(64 * MiB, 200 * packed)

const piece = 1 << 20

/** Without the mark of UTF-8 that some editors put in front. */
export async function* withoutMark(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first: Uint8Array | null = new Uint8Array(0)
  for await (const piece of pieces) {
    if (first !== null) {
      first = first.length === 0 ? piece : Buffer.concat([first, piece])
      if (first.length < 3) continue
    }
    yield first === null
      ? piece
      : first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf
      ? first.subarray(3)
      : first
    first = null
  }
  if (first !== null) yield first
}

/** Throws `BadData`. A file is unpacked by its content; the end of its name has to agree with it. */
export async function* bytesIn(path: string): AsyncGenerator<Uint8Array> {
  const bad = (problem: string, remedy: string) => new BadData({ path, line: 0, problem, remedy })
  const { size } = await stat(path)
  const raw = createReadStream(path, { highWaterMark: piece })
  try {
    const pieces = raw[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>
    const { done, value: first } = await pieces.next()
    const begins = (magic: ReadonlyArray<number>) => done !== true && magic.every((byte, i) => first[i] === byte)
    const packing = packings.find(({ magic }) => begins(magic))
    const promised = packings.find(({ ends }) => path.endsWith(ends))
    if (promised !== undefined && promised !== packing && done !== true) {
      throw bad(`not ${promised.name} data`, `Drop ${promised.ends} from the name, or compress it.`)
    }
    if (done === true) return
    if (isPointer(first)) throw bad(notFetched.problem, notFetched.remedy)
    const all = async function*(): AsyncGenerator<Uint8Array> {
      yield first
      yield* pieces
    }
    if (packing === undefined) return yield* all()
    const unpacked = pipeline(Readable.from(all()), packing.unpack({ chunkSize: piece }), () => {}) as Transform
    let count = 0
    try {
      for await (const part of unpacked as AsyncIterable<Uint8Array>) {
        count += part.length
        if (count > mostUnpacked(size)) {
          throw bad(
            `it unpacks to more than ${mostUnpacked(size)} bytes`,
            "Unpack it if you trust it, and give the plain file."
          )
        }
        yield part
      }
    } catch (error) {
      if (!String((error as NodeJS.ErrnoException).code).startsWith("Z")) throw error
      throw bad(`the ${packing.name} data is damaged or cut off`, "Fetch or compress the file again.")
    }
  } finally {
    raw.destroy()
  }
}
