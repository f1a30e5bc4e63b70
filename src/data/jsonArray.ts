/** Records that are the objects of one list of JSON; the list may be larger than memory. */
import { BadData } from "./badData.ts"
import * as lines from "./lines.ts"
import { decoded, type Found, joined, mostInRecord, objectIn, type Records } from "./record.ts"

const remedy = "A .json file has to be one list of objects, or one object a line."

const [quote, backslash, comma, feed] = [0x22, 0x5c, 0x2c, 0x0a]
const opens: ReadonlySet<number> = new Set([0x5b, 0x7b])
const closes: ReadonlySet<number> = new Set([0x5d, 0x7d])
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === feed || byte === 0x0d

/** The list is cut at its commas; each part is then parsed by itself. */
async function* parts(pieces: AsyncIterable<Uint8Array>, path: string): Records {
  const bad = (line: number, problem: string) => new BadData({ path, line, problem, remedy })
  let [line, depth, began, bytes, commas] = [1, 0, 0, 0, 0]
  let [inText, escaped, ended] = [false, false, false]
  let held: Array<Uint8Array> = []
  const found = (): Found => {
    const whole = joined(held)
    const one = { line: began, bytes, value: () => objectIn(decoded(whole), remedy) }
    held = []
    began = bytes = 0
    return one
  }
  for await (const piece of pieces) {
    const all: Array<Found> = []
    let start = 0
    const take = (end: number) => {
      held.push(piece.subarray(start, end))
      bytes += end - start
      start = end + 1
    }
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i]!
      if (byte === feed) line++
      if (inText) {
        if (escaped) escaped = false
        else if (byte === backslash) escaped = true
        else if (byte === quote) inText = false
        continue
      }
      if (isSpace(byte)) continue
      if (ended) throw bad(line, "there is text after the end of the list")
      if (depth === 0) {
        // The caller has seen the bracket.
        depth = 1
        start = i + 1
        continue
      }
      if (depth === 1 && (byte === comma || byte === 0x5d)) {
        ended = byte === 0x5d
        take(i)
        if (began > 0) all.push(found())
        else if (!ended || commas > 0) throw bad(line, "an object is missing here")
        commas++
        continue
      }
      if (began === 0) began = line
      if (byte === quote) inText = true
      else if (opens.has(byte)) depth++
      else if (closes.has(byte)) depth--
    }
    if (!ended && depth > 0) take(piece.length)
    if (bytes > mostInRecord) throw bad(began, `this object has more than ${mostInRecord} bytes`)
    yield all
  }
  if (!ended) throw bad(line, "the list is not closed: the file is cut off")
}

/** Many files that are called .json have an object a line instead. */
export async function* objects(pieces: AsyncGenerator<Uint8Array>, path: string): Records {
  const blank: Array<Uint8Array> = []
  for (;;) {
    const { done, value } = await pieces.next()
    if (done === true) return
    blank.push(value)
    const first = value.find((byte) => !isSpace(byte))
    if (first === undefined) continue
    const all = async function*() {
      yield* blank
      yield* pieces
    }
    return yield* (first === 0x5b ? parts : lines.objects)(all(), path)
  }
}
