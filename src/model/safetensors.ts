import type { TensorData, Tensors } from "./weights.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { parseJson } from "./json.ts"
import { elements } from "./parameters.ts"

/** Bytes of an element, of the types that can be read. Float32 and Float64 are written. */
const widths = { F64: 8, F32: 4, F16: 2, BF16: 2 } as const
type Dtype = keyof typeof widths

interface Entry {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: ReadonlyArray<number>
  readonly start: number
  readonly end: number
}

/** No header of a real model comes near; the limit of the safetensors library. */
const largestHeader = 100_000_000

/**
 * Writes a safetensors file. Equal tensors give equal bytes: wider types first, then by name, the header padded with spaces so
 * that the data begin at a multiple of 8.
 */
export const encode = (tensors: Tensors): Uint8Array => {
  const width = (data: TensorData["data"]): number => data.BYTES_PER_ELEMENT
  const order = [...tensors].sort(([a, x], [b, y]) => width(y.data) - width(x.data) || (a < b ? -1 : a > b ? 1 : 0))
  const header: Array<[string, unknown]> = [["__metadata__", { format: "pt" }]]
  let size = 0
  for (const [name, { shape, data }] of order) {
    if (elements(shape) !== data.length) throw new RangeError(`${name}: shape [${shape}] for ${data.length} elements`)
    const dtype = data instanceof Float64Array ? "F64" : "F32"
    header.push([name, { dtype, shape, data_offsets: [size, size + data.byteLength] }])
    size += data.byteLength
  }
  // Not Object.fromEntries: it would put names that look like numbers first.
  const json = `{${header.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`
  const text = new TextEncoder().encode(json)
  const begin = 8 + Math.ceil(text.length / 8) * 8
  const bytes = new Uint8Array(begin + size)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(begin - 8), true)
  bytes.fill(0x20, 8, begin)
  bytes.set(text, 8)
  let at = begin
  for (const [, { data }] of order) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    at += data.byteLength
  }
  return bytes
}

/** The bytes before the header, which say how long it is. */
export const headless = 8

/** Bytes up to the end of the header of a file of `size` bytes that begins with these. Throws `BadCheckpoint`. */
export const headerEnd = (bytes: Uint8Array, size: number, path: string): number => {
  const fail = failing(path)
  if (bytes.length < headless) return fail(`${bytes.length} bytes is too short for a safetensors file`)
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  if (length <= BigInt(largestHeader) && length <= BigInt(size - headless)) return headless + Number(length)
  return fail(
    `the header claims ${length} bytes and the file has ${
      size - headless
    } after its length: truncated, or not safetensors`
  )
}

/** The names and shapes in a file of `size` bytes, by its bytes up to the end of the header; no data. Throws `BadCheckpoint`. */
export const shapes = (bytes: Uint8Array, size: number, path: string): Tensors =>
  new Map(entriesIn(bytes, size, path).map(({ name, shape }) => [name, { shape, data: new Float32Array(0) }]))

const failing = (path: string) => (problem: string, remedy = "Download or save the file again."): never => {
  throw new BadCheckpoint({ path, problem, remedy })
}

const entriesIn = (bytes: Uint8Array, size: number, path: string): ReadonlyArray<Entry> => {
  const begin = headerEnd(bytes, size, path)
  const fail = failing(path)
  const { entries, problems } = readHeader(bytes.subarray(headless, begin), fail)
  problems.push(...layoutProblems(entries, size - begin))
  return problems.length > 0 ? fail(listed(problems), "Save the file again with a safetensors writer.") : entries
}

/**
 * Reads a safetensors file, which may come from anyone: every length, name, type, shape and offset is checked before it is
 * used. F32 and F64 come as they are and may share memory with `bytes`; F16 and BF16 are widened. Throws `BadCheckpoint`.
 */
export const decode = (bytes: Uint8Array, path: string): Tensors => {
  const entries = entriesIn(bytes, bytes.length, path)
  const begin = headerEnd(bytes, bytes.length, path)
  return new Map(entries.map((entry) => [entry.name, tensorOf(bytes, begin, entry)]))
}

const listed = (problems: ReadonlyArray<string>): string =>
  problems.length <= 12 ? problems.join("; ") : `${problems.slice(0, 12).join("; ")}; and ${problems.length - 12} more`

const readHeader = (
  bytes: Uint8Array,
  fail: (problem: string) => never
): { readonly entries: ReadonlyArray<Entry>; readonly problems: Array<string> } => {
  let header: unknown
  const problems: Array<string> = []
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
    header = parseJson(text, (key) => problems.push(`${JSON.stringify(key)} appears twice`))
  } catch (error) {
    return fail(`the header is not UTF-8 JSON (${(error as Error).message})`)
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("the header is not a JSON object")
  }
  const entries: Array<Entry> = []
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      const fine = typeof value === "object" && value !== null &&
        Object.values(value).every((note) => typeof note === "string")
      if (!fine) problems.push("__metadata__ is not an object of strings")
      continue
    }
    const entry = entryOf(name, value)
    if (typeof entry === "string") problems.push(`tensor ${JSON.stringify(name)} ${entry}`)
    else entries.push(entry)
  }
  return { entries, problems }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/** The entry, or its problem. */
const entryOf = (name: string, value: unknown): Entry | string => {
  if (typeof value !== "object" || value === null) return "is not described by an object"
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>
  if (typeof dtype !== "string" || !Object.hasOwn(widths, dtype)) {
    return `has type ${JSON.stringify(dtype)}; only ${Object.keys(widths).join(", ")} can be read: convert it first`
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) return `has shape ${JSON.stringify(shape)}`
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return `has data_offsets ${JSON.stringify(offsets)}`
  }
  const [start, end] = offsets as [number, number]
  const size = elements(shape) * widths[dtype as Dtype]
  if (!(size <= Number.MAX_SAFE_INTEGER)) return `has shape [${shape}], more than any file can hold`
  if (end - start !== size) return `has ${end - start} bytes of data for shape [${shape}] of ${dtype}, which is ${size}`
  return { name, dtype: dtype as Dtype, shape, start, end }
}

/** The data of the tensors must fill the file in sequence, without a gap. */
const layoutProblems = (entries: ReadonlyArray<Entry>, size: number): ReadonlyArray<string> => {
  const problems: Array<string> = []
  let at = 0
  for (const { name, start, end } of [...entries].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (end > size) {
      problems.push(`tensor ${JSON.stringify(name)} ends ${end - size} bytes after the end of the file: truncated`)
    }
    if (start < at) problems.push(`tensor ${JSON.stringify(name)} overlaps another one`)
    if (start > at) problems.push(`${start - at} bytes before tensor ${JSON.stringify(name)} belong to none`)
    at = Math.max(at, end)
  }
  if (at < size) problems.push(`${size - at} bytes at the end belong to no tensor`)
  return problems
}

const tensorOf = (bytes: Uint8Array, begin: number, { dtype, end, shape, start }: Entry): TensorData => {
  const count = elements(shape)
  const first = bytes.byteOffset + begin + start
  const view = first % widths[dtype] === 0
    ? { buffer: bytes.buffer, at: first }
    : { buffer: bytes.slice(begin + start, begin + end).buffer, at: 0 }
  switch (dtype) {
    case "F64":
      return { shape, data: new Float64Array(view.buffer, view.at, count) }
    case "F32":
      return { shape, data: new Float32Array(view.buffer, view.at, count) }
    case "F16":
      return { shape, data: Float32Array.from(new Uint16Array(view.buffer, view.at, count), half) }
    case "BF16": {
      const data = new Float32Array(count)
      const bits = new Uint32Array(data.buffer)
      const brain = new Uint16Array(view.buffer, view.at, count)
      for (let i = 0; i < count; i++) bits[i] = brain[i]! << 16
      return { shape, data }
    }
  }
}

/** IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. */
const half = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}
