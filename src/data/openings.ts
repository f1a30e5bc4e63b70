import type { DemonstrationRow } from "./rows.ts"

/**
 * The first `words` words of a text as a prompt, and the text after them, up to the end of the sentence that reaches `continuation`
 * words, as its completion (with the space in front of it). Undefined for a shorter text.
 */
export const cut = (text: string, words: number, continuation: number): ReadonlyArray<DemonstrationRow> => {
  const flat = text.replaceAll(/\s+/gu, " ").trim().split(" ")
  if (flat.length <= words) return []
  const rest = flat.slice(words)
  let end = rest.findIndex((word, i) => i + 1 >= continuation && /[.!?]["']?$/u.test(word))
  if (end < 0) end = rest.length - 1
  return [{ prompt: flat.slice(0, words).join(" "), completion: ` ${rest.slice(0, end + 1).join(" ")}` }]
}
