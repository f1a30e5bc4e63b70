/** Records that are lines: JSON Lines, and plain text. */
import { BadData } from "./badData.ts"
import { decoded, type Found, joined, mostInRecord, objectIn, type Records, together } from "./record.ts"

const remedy =
  "Every line has to be one JSON object: write a list one a line, without the brackets, or call the file .json."

const feed = 0x0a

const textOf = (bytes: Uint8Array): string | undefined => {
  const text = decoded(bytes).replace(/\r$/u, "")
  return text.trim() === "" ? undefined : text
}

const objectOf = (bytes: Uint8Array) => {
  const text = textOf(bytes)
  return text === undefined ? undefined : objectIn(text, remedy)
}

/** Lines are split at "\n" only: texts may hold U+2028 or U+0085. Each is decoded by itself, so that a bad byte has a line. */
const linesBy = (of: (bytes: Uint8Array) => ReturnType<Found["value"]>) =>
  async function*(pieces: AsyncIterable<Uint8Array>, path: string): Records {
    let held: Array<Uint8Array> = []
    let bytes = 0
    let line = 1
    const found = (): Found => {
      const whole = joined(held)
      return { line: line++, bytes: whole.length, value: () => of(whole) }
    }
    for await (const piece of pieces) {
      let all: Array<Found> = []
      let start = 0
      for (;;) {
        if (held.length === 0) { for (; piece[start] === feed; start++) line++ }
        const end = piece.indexOf(feed, start)
        if (end < 0) break
        held.push(piece.subarray(start, end))
        all.push(found())
        held = []
        bytes = 0
        start = end + 1
        if (all.length < together) continue
        yield all
        all = []
      }
      if (start < piece.length) {
        held.push(piece.subarray(start))
        bytes += piece.length - start
      }
      if (bytes > mostInRecord) {
        const problem = `this line has more than ${mostInRecord} bytes`
        throw new BadData({ path, line, problem, remedy: "Check that it is a file of lines." })
      }
      yield all
    }
    if (held.length > 0) yield [found()]
  }

export const texts = linesBy(textOf)
export const objects = linesBy(objectOf)
