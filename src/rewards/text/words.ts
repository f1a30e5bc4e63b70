/** Words and sentences of a text. */

/** Letters, digits and `_`: `\w` of Python's regular expressions. */
export const letter = String.raw`[\p{L}\p{N}_]`
const runs = new RegExp(`${letter}+`, "gu")

/** The runs of letters and digits: `don't` is two. */
export const wordRuns = (text: string): ReadonlyArray<string> => text.match(runs) ?? []

/** How often `part` occurs in the text, whatever the case; overlaps count once. */
export const occurrences = (text: string, part: string): number =>
  part === "" ? 0 : text.toLowerCase().split(part.toLowerCase()).length - 1

const starts = new RegExp(`^${letter}`, "u")
const ends = new RegExp(`${letter}$`, "u")

/** `part` occurs in the text as whole words, whatever the case. */
export const hasWords = (text: string, part: string): boolean => {
  const [among, wanted] = [text.toLowerCase(), part.toLowerCase()]
  if (wanted === "") return false
  const [opens, closes] = [starts.test(wanted), ends.test(wanted)]
  for (let at = among.indexOf(wanted); at >= 0; at = among.indexOf(wanted, at + 1)) {
    const after = at + wanted.length
    if (
      (!opens || !ends.test(among.slice(Math.max(0, at - 2), at))) &&
      (!closes || !starts.test(among.slice(after, after + 2)))
    ) {
      return true
    }
  }
  return false
}

const between =
  /[\s;@#$%&?![\](){}<>"“”«»…]+|\.{3}|--|[,:](?!\d)|(?<=\S)(?=(?:['’](?:s|m|d|ll|re|ve)|n['’]t)(?![\p{L}\p{N}]))/iu

/** Words as the Penn Treebank divides them, without punctuation: clitics stand alone (`I'm` is `I` and `'m`), hyphens join. */
export const treebankWords = (text: string): ReadonlyArray<string> => text.split(between).filter((word) => word !== "")

const sentences = new Intl.Segmenter("en", { granularity: "sentence" })
/** A full stop and a small letter: Unicode's rules see no end of a sentence there. */
const small = /[.?!]["'”’)\]]*\s["'“‘([<*_/]*\p{Ll}/gu
/** The end of a text whose full stop belongs to an abbreviation: initials, and some Latin words. */
const abbreviated = /(?<![\p{L}.])(?:(?:\p{L}\.)*\p{L}|al|cf|etc|fig|no|vs)$/iu
/** Titles and initials, which Unicode's rules take for the end of a sentence. */
const titles = /(?<![\p{L}\p{N}.])(Dr|Mr|Mrs|Ms|Prof|St|[A-HJ-Z])\.(?=\s)/gu

/** The sentences of a text, by Unicode's rules, without the full stops of titles and initials; line breaks end none, small letters may begin one. */
export const sentencesOf = (text: string): ReadonlyArray<string> => {
  const line = text.replace(titles, "$1").replace(/\s+/gu, " ")
  const opened = line.replace(
    small,
    (stop, at: number) => abbreviated.test(line.slice(Math.max(0, at - 16), at)) ? stop : stop.toUpperCase()
  )
  return [...sentences.segment(opened)].map(({ segment }) => segment.trim()).filter((sentence) => sentence !== "")
}
