/** Rows of Parquet, one row group in memory at a time. Runs in a worker (`parquet.ts`): damaged data may keep the decoder busy for ever. */
import type { AsyncBuffer, Compressors, FileMetaData, SchemaTree } from "hyparquet"
import { open } from "node:fs/promises"
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib"
import type { Json } from "./formats.ts"

/** What is wrong with a file. Nothing here loads more than the decoder: a worker starts for each file. */
export class Unread extends Error {
  readonly problem: string
  readonly remedy: string
  /** From 1; 0 when the whole file is meant. */
  readonly line: number
  constructor(problem: string, remedy: string, line = 0) {
    super(problem)
    this.problem = problem
    this.remedy = remedy
    this.line = line
  }
}

/** Rows that are handed on together, at most. */
const together = 4096
const MiB = 1 << 20

/** Most bytes without compression of rows that are read at once, and of a page by itself: they are unpacked in memory. */
const [mostAtOnce, mostInPage] = [1024 * MiB, 512 * MiB]

/** A value as JSON has it. Bytes that are no text have none. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof Uint8Array) return undefined
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array, plain)
  if (Array.isArray(value)) return value.map(plain)
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]))
}

/** A column without a value in this row counts as not there. */
const rowOf = (row: Json): Json =>
  Object.fromEntries(
    Object.entries(row).flatMap(([name, value]) => {
      const known = value === null ? undefined : plain(value)
      return known === undefined ? [] : [[name, known]]
    })
  )

const utf8 = new TextDecoder("utf-8", { fatal: true })
const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => {
    try {
      return bytes && utf8.decode(bytes)
    } catch {
      return bytes
    }
  }
}

/** A page is never unpacked to more than its header says. */
const within =
  (unpack: (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array) =>
  (bytes: Uint8Array, length: number): Uint8Array => {
    if (length > mostInPage) throw new Error(`a page has ${length} bytes, and at most ${mostInPage} are read`)
    const unpacked = unpack(bytes, { maxOutputLength: Math.max(1, length) })
    return new Uint8Array(unpacked.buffer, unpacked.byteOffset, unpacked.length)
  }

const compressorsOf = ({ LZ4, LZ4_RAW, SNAPPY }: Compressors): Compressors => {
  const sized = (unpack: Compressors["SNAPPY"]) =>
    within((bytes, { maxOutputLength }) => unpack!(bytes, maxOutputLength))
  return {
    SNAPPY: sized(SNAPPY),
    LZ4: sized(LZ4),
    LZ4_RAW: sized(LZ4_RAW),
    GZIP: within(gunzipSync),
    BROTLI: within(brotliDecompressSync),
    ZSTD: within(zstdDecompressSync)
  }
}

const unique = (names: ReadonlyArray<string>): boolean => new Set(names).size === names.length

/**
 * Whether every column chunk belongs to one leaf of the schema: `hyparquet` leaves the failure of any other chunk to the process, which
 * would end.
 */
const isSound = (tree: SchemaTree, groups: FileMetaData["row_groups"]): boolean => {
  const leaves: Array<string> = []
  const walk = ({ children, path }: SchemaTree): void => {
    if (children.length === 0) leaves.push(path.join("\0"))
    else children.forEach(walk)
  }
  tree.children.forEach(walk)
  const known = new Set(leaves)
  return unique(leaves) && unique(tree.children.map(({ element }) => element.name)) && groups.every(({ columns }) => {
    const paths = columns.map(({ meta_data }) => meta_data?.path_in_schema.join("\0") ?? "\0")
    return unique(paths) && paths.every((path) => known.has(path))
  })
}

/** Bytes of the row group, as its metadata say. */
const sizeOf = (group: FileMetaData["row_groups"][number]): number => Number(group.total_byte_size)

/**
 * The rows of a row group that are read at once: all of them, or some of a larger group. Pages of a column without lists are passed over
 * unpacked, of any other column only by its index, and a column without an index is in memory as it is packed. Null: no part of it can be
 * read by itself.
 */
const atOnce = (group: FileMetaData["row_groups"][number], most: number): number | null => {
  const [bytes, rows] = [sizeOf(group), Number(group.num_rows)]
  if (bytes <= most) return rows
  const whole = group.columns.filter(({ offset_index_length }) => !offset_index_length)
  const isFlat = whole.every(({ meta_data }) => meta_data!.path_in_schema.length === 1)
  const packed = whole.reduce((sum, { meta_data }) => sum + Number(meta_data!.total_compressed_size), 0)
  return isFlat && packed <= most ? Math.ceil(rows / Math.ceil(8 * bytes / most)) : null
}

/** Some rows, the first of them the row `line` of the file; `bytes`: of a row, about. */
export interface Batch {
  readonly line: number
  readonly bytes: number
  readonly rows: ReadonlyArray<Json>
}

export async function* batchesOf(path: string, most = mostAtOnce): AsyncGenerator<Batch> {
  const damaged = (error: unknown, line = 0) =>
    error instanceof Unread ? error : new Unread(
      `its Parquet data is damaged, cut off or of a kind that is not read: ${
        (error instanceof Error ? error.message : String(error)).slice(0, 200).replaceAll(/\s+/gu, " ")
      }`,
      "Fetch or write the file again.",
      line
    )
  const [{ parquetMetadataAsync, parquetReadObjects, parquetSchema }, { compressors }] = await Promise.all([
    import("hyparquet"),
    import("hyparquet-compressors")
  ])
  const unpack = compressorsOf(compressors)
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    const file: AsyncBuffer = {
      byteLength: size,
      slice: async (start, end = size) => {
        const from = start < 0 ? size + start : start
        const length = Math.min(end, size) - from
        if (!(from >= 0 && length >= 0 && length <= mostAtOnce)) throw new Error(`no bytes ${start} to ${end}`)
        const bytes = new Uint8Array(length)
        for (let at = 0; at < length;) {
          const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, 256 * MiB), from + at)
          if (bytesRead === 0) throw new Error("the file ends before its data")
          at += bytesRead
        }
        return bytes.buffer
      }
    }
    const metadata = await parquetMetadataAsync(file).catch((error) => {
      throw damaged(error)
    })
    try {
      if (!isSound(parquetSchema(metadata), metadata.row_groups)) throw new Error("columns do not match the schema")
    } catch (error) {
      throw damaged(error)
    }
    let row = 0
    for (const group of metadata.row_groups) {
      const [bytes, rows] = [sizeOf(group), Number(group.num_rows)]
      const some = atOnce(group, most)
      if (some === null) {
        throw new Unread(
          `the row group at row ${
            row + 1
          } has ${bytes} bytes, and at most ${most} of lists without an index of pages are read at once`,
          "Write the file with smaller row groups, e.g. to_parquet(…, row_group_size=10000) of pandas.",
          row + 1
        )
      }
      // Each row takes at least a bit in a column, or the metadata are wrong.
      if (!(rows >= 0 && rows <= 8 * Math.max(size, bytes) + 8)) {
        throw damaged(new Error(`${rows} rows in ${bytes} bytes`), row + 1)
      }
      for (const end = row + rows; row < end;) {
        const rowEnd = Math.min(end, row + some)
        const options = {
          file,
          metadata,
          compressors: unpack,
          parsers,
          rowStart: row,
          rowEnd,
          useOffsetIndex: some < rows
        }
        const objects = await parquetReadObjects(options as never).catch((error) => {
          throw damaged(error, row + 1)
        })
        for (let from = 0; from < objects.length; from += together) {
          yield { line: row + from + 1, bytes: bytes / rows, rows: objects.slice(from, from + together).map(rowOf) }
        }
        row = rowEnd
      }
    }
  } finally {
    await handle.close()
  }
}
