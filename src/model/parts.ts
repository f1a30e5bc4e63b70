/** A text in parts, as the tokens of the whole. */
import type { Codec } from "./weights.ts"

const concatenated = (parts: ReadonlyArray<Int32Array>): Int32Array => {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const commonLength = (a: Int32Array, b: Int32Array): number => {
  let at = 0
  while (at < Math.min(a.length, b.length) && a[at] === b[at]) at++
  return at
}

/**
 * The tokens of the joined parts, divided at the boundaries of the parts; the first part begins a sequence. A token that spans a boundary
 * belongs to the part after it, so that no part holds text of the next.
 */
export const inParts = (
  { encodeCompletion, encodePrompt }: Pick<Codec, "encodeCompletion" | "encodePrompt">,
  parts: ReadonlyArray<string>
): ReadonlyArray<Int32Array> => {
  const whole = encodePrompt(parts.join(""))
  // Of many parts, every beginning would take time in proportion to the square of the text.
  if (parts.length > 2) {
    const apart = parts.map((part, i) => i === 0 ? encodePrompt(part) : encodeCompletion(part, { end: false }))
    const joined = concatenated(apart)
    if (joined.length === whole.length && commonLength(joined, whole) === whole.length) return apart
  }
  const cuts = [0]
  for (let i = 1, text = ""; i < parts.length; i++) {
    text += parts[i - 1]
    cuts.push(Math.max(cuts.at(-1)!, commonLength(encodePrompt(text), whole)))
  }
  return cuts.map((from, i) => whole.slice(from, cuts[i + 1]))
}
