/**
 * Simple English of children's stories: base words, irregular forms, and the rules for regular endings. The words stand in
 * `english.json`; they were written from general knowledge, not counted in a corpus.
 */
import english from "./english.json" with { type: "json" }

const setOf = (lines: ReadonlyArray<string>): ReadonlySet<string> => new Set(lines.join(" ").split(" "))

const listed = setOf(Object.values(english.words).flat())

/** First names by pronoun; some of them are also common words (Rose, Will). */
export const names = { she: setOf(english.names.she), he: setOf(english.names.he) } as const

/** Each ending, and the end of the base word in its place: `stories` is `story` + `ies`. */
const endings: ReadonlyArray<readonly [ending: string, base: string]> = [
  ["'s", ""],
  ["s'", "s"],
  ["s", ""],
  ["es", ""],
  ["ies", "y"],
  ["ves", "f"],
  ["ed", ""],
  ["d", ""],
  ["ied", "y"],
  ["ing", ""],
  ["ing", "e"],
  ["er", ""],
  ["r", ""],
  ["ier", "y"],
  ["est", ""],
  ["st", ""],
  ["iest", "y"],
  ["ly", ""],
  ["ily", "y"],
  ["y", ""],
  ["ful", ""],
  ["ness", ""]
]

/** The word, or the word without one regular ending (`hopping`: the doubled letter goes too), is in the list. */
export const isEnglish = (word: string): boolean => {
  const lower = word.toLowerCase().replaceAll("’", "'")
  if (listed.has(lower)) return true
  return endings.some(([ending, base]) => {
    if (!lower.endsWith(ending) || lower.length - ending.length < 2) return false
    const stem = lower.slice(0, lower.length - ending.length)
    const undoubled = /([bdgklmnprt])\1$/u.test(stem) && /^(?:ed|ing|er|est|y)$/u.test(ending)
      ? stem.slice(0, -1)
      : stem
    return listed.has(stem + base) || base === "" && listed.has(undoubled)
  })
}

export const isName = (word: string): boolean => {
  const lower = word.toLowerCase().replace(/['’]s$/u, "")
  return names.she.has(lower) || names.he.has(lower)
}
