import { parsePlain } from "../model/json.ts"
import { MiB } from "../model/regularFile.ts"
import { Unfit } from "./encode.ts"
import type { Json } from "./formats.ts"

/** A record of a file, before it is a row: a line of text, an object of JSON, a record of CSV, a row of Parquet. */
export interface Found {
  /** Its first line, from 1; in a Parquet file, its row. */
  readonly line: number
  /** Bytes that it takes, roughly. */
  readonly bytes: number
  /** Its object, or its text in a file of plain text; undefined for a blank line. Throws `Unfit`. */
  readonly value: () => Json | string | undefined
  /** What was assumed about its file, for people. */
  readonly note?: string
}

/** The records of a file in order, some at a time. Throws `BadData`. */
export type Records = AsyncGenerator<ReadonlyArray<Found>>

/** Records that are handed on together, at most. */
export const together = 4096

/** Most bytes of a record. */
export const mostInRecord = 256 * MiB

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** UTF-8 to text. Throws `Unfit`. */
export const decoded = (bytes: Uint8Array): string => {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    throw new Unfit("not UTF-8", "Save the file as UTF-8.")
  }
  if (text.includes("\0")) throw new Unfit("not text: it holds a zero byte", "Save the file as UTF-8 text.")
  return text
}

/** The object that a text of JSON writes. Throws `Unfit`. */
export const objectIn = (text: string, remedy: string): Json => {
  let value: unknown
  try {
    value = parsePlain(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.slice(0, 100).replaceAll(/\s+/gu, " ") : "cannot be parsed"
    throw new Unfit(`not JSON: ${why}`, remedy)
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json
  const shown = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`
  throw new Unfit(`not an object but ${shown}`, remedy)
}

/** The bytes of a record in pieces that came one after another. */
export const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array =>
  pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
