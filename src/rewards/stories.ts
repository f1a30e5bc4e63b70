import { isEnglish, isName, names } from "./english.ts"

/**
 * Gold reward of the continuation of a children's story (TinyStories, Eldan and Li 2023, arXiv 2305.07759), in points. The
 * prompt is the opening, the completion is the model's text after it. It asks for the qualities that the authors of that set asked
 * of their stories: sentences in good English, no repetition, characters who stay, somebody who speaks, an ending that is
 * happy and is an ending. At best 6, never under −6.25.
 */
export interface Parts {
  /**
   * Share of sentences with a capital first, `.`, `!` or `?` last, at most 40 words, and no two words in a row that English
   * never has (`the of`, `to was`). In [0, 1].
   */
  readonly sentences: number
  /** −2 × share of three-word sequences said before; −0.5 for every sentence said before. In [−2.5, 0]. */
  readonly repetition: number
  /** A name of the prompt comes back: 1 (no name in the prompt: 0.5). Every new name after the second: −0.25. In [−0.75, 1]. */
  readonly characters: number
  /** The hero of the prompt has the wrong pronoun and never the right pronoun: −0.5. In [−0.5, 0]. */
  readonly pronouns: number
  /** Quotes in pairs around two words or more: 0.5, and 0.5 more if someone `said` it. An open quote: −0.5. In [−0.5, 1]. */
  readonly dialogue: number
  /** In the last third: different happy words (two are enough) less unhappy words, over 2. In [−1, 1]. */
  readonly happy: number
  /** Share of English words: 0.5 is −1, 0.95 is 1. In [−1, 1]. */
  readonly english: number
  /** Ends where a sentence ends, with no open quotation: 0.5; and says so (`the end`, `ever after`, `from that day`…): 0.5 more. In [0, 1]. */
  readonly ending: number
}

const set = (words: string): ReadonlySet<string> => new Set(words.split(" "))

/** Words that say a story turned out well. */
const happyWords = set(
  "happy happily glad smile smiled smiling laugh laughed laughing proud love loved joy fun hug hugged friends thankful " +
    "grateful safe best better cheered celebrated danced enjoyed excited kind thanked together wonderful yummy played"
)

/** Words that say it did not. */
const unhappyWords = set(
  "sad sadly cry cried crying scared afraid angry mad upset hurt lost alone lonely died dead broke broken fell sick worried " +
    "mean bad tears sorry hated screamed"
)

const speech = set("said asked replied shouted answered cried whispered yelled told called exclaimed thought laughed")

const clamp = (x: number, min: number, max: number): number => Math.min(max, Math.max(min, x))

/** Words with their inner apostrophes; hyphens separate. */
const wordsOf = (text: string): ReadonlyArray<string> => text.match(/[\p{L}\p{N}]+(?:['’][\p{L}]+)*/gu) ?? []

const straight = (text: string): string => text.replaceAll(/[“”„]/gu, '"').replaceAll("’", "'")

/** Sentences with their closing marks; the end of a paragraph also ends a sentence. */
const sentencesOf = (text: string): ReadonlyArray<string> =>
  (text.match(/[^.!?\n]+(?:[.!?]+["')]*)?|[.!?]+["')]*/gu) ?? []).map((s) => s.trim()).filter((s) => s !== "")

/**
 * Share of the words of a text that are simple English or common first names, or words of `also`. No words: 0.
 */
export const englishShare = (text: string, also = ""): number => {
  const words = wordsOf(text)
  if (words.length === 0) return 0
  const given = new Set(wordsOf(also).map((word) => word.toLowerCase()))
  const known = words.filter((word) =>
    isEnglish(word) || /^\p{Lu}/u.test(word) && isName(word) || given.has(word.toLowerCase()) || /^\d+$/u.test(word)
  )
  return known.length / words.length
}

/** Capitalised words that are names: on the list of names, or not English, or capitalised within a sentence. */
const namesIn = (text: string): ReadonlySet<string> =>
  new Set(
    sentencesOf(straight(text)).flatMap((sentence) =>
      wordsOf(sentence).flatMap((word, i) => {
        const name = word.replace(/'s$/u, "")
        if (!/^\p{Lu}\p{Ll}+$/u.test(name)) return []
        const common = isEnglish(name)
        return isName(name) && (i > 0 || !common) || i > 0 && !common ? [name] : []
      })
    )
  )

const determiners = set("the a an my your their our its")
const prepositions = set("of to at with from into for")
const auxiliaries = set("is are was were am had did does do could would can will should")
const never: ReadonlyArray<readonly [before: ReadonlySet<string>, after: ReadonlySet<string>]> = [
  [
    determiners,
    new Set([
      ...determiners,
      ...prepositions,
      ...auxiliaries,
      ...set("and or but he she it they we i you him them me us in")
    ])
  ],
  [prepositions, new Set([...auxiliaries, ...set("and or but he she they we i of")])],
  [set("and or but"), set("and or but of")],
  [set("he she they we i him them me"), new Set([...determiners, ...set("he she they we i him them me of")])]
]
// "gave him a ball", "saw them, the two …" and "she, he and I" are English.
const objects = set("him them me")

/** Two neighbouring words, in lower case, that no English sentence has (a comma between them would make a difference). */
const clash = (first: string, second: string): boolean =>
  first === second && determiners.has(first) ||
  never.some(([before, after]) => before.has(first) && after.has(second)) &&
    !(objects.has(first) && determiners.has(second))

/** A sentence has no clash within the stretches between its commas and quotes, and does not end in an article. */
const isOrdered = (sentence: string): boolean =>
  sentence.toLowerCase().split(/[,;:"—-]/u).map(wordsOf).every((words, i, all) =>
    words.every((word, j) => j === 0 || !clash(words[j - 1]!, word)) &&
    !(i === all.length - 1 && ["the", "a", "an"].includes(words.at(-1) ?? ""))
  )

const sentencesPart = (sentences: ReadonlyArray<string>): number => {
  if (sentences.length === 0) return 0
  const good = sentences.filter((sentence) => {
    const words = wordsOf(sentence).length
    // The text after a quotation ("Hi!" said Tom.) may begin with a small letter.
    return (/^["'(]*\p{Lu}/u.test(sentence) || /^(?:["']\s*)?(?:said|asked|replied|shouted)\b/u.test(sentence)) &&
      /[.!?]["')]*$/u.test(sentence) && words >= 1 && words <= 40 && isOrdered(sentence)
  })
  return good.length / sentences.length
}

const repetitionPart = (sentences: ReadonlyArray<string>, words: ReadonlyArray<string>): number => {
  const threes = words.slice(2).map((word, i) => `${words[i]} ${words[i + 1]} ${word}`)
  const again = threes.length === 0 ? 0 : 1 - new Set(threes).size / threes.length
  // Very short sentences ("Oh no!") may come twice.
  const long = sentences.filter((sentence) => wordsOf(sentence).length > 3)
  return 0 - Math.min(2.5, 2 * again + 0.5 * (long.length - new Set(long).size))
}

const charactersPart = (known: ReadonlySet<string>, found: ReadonlySet<string>): number => {
  const fresh = [...found].filter((name) => !known.has(name)).length
  const back = known.size === 0 ? 0.5 : [...known].some((name) => found.has(name)) ? 1 : 0
  return clamp(back - 0.25 * Math.max(0, fresh - 2), -0.75, 1)
}

/** Only when the prompt is about a single named character with a known pronoun, from the prompt or from the name. */
const pronounsPart = (prompt: string, known: ReadonlySet<string>, words: ReadonlyArray<string>): number => {
  if (known.size !== 1) return 0
  const [hero] = [...known].map((name) => name.toLowerCase())
  const before = new Set(wordsOf(prompt.toLowerCase()))
  const girl = before.has("she") || before.has("her") || before.has("girl")
  const boy = before.has("he") || before.has("his") || before.has("him") || before.has("boy")
  const own = girl !== boy
    ? (girl ? "she" : "he")
    : names.she.has(hero!)
    ? "she"
    : names.he.has(hero!)
    ? "he"
    : undefined
  if (own === undefined) return 0
  return words.includes(own === "she" ? "he" : "she") && !words.includes(own) ? -0.5 : 0
}

/** `open`: the prompt leaves a quotation open, which the completion has to close first. */
const dialoguePart = (text: string, open: boolean): number => {
  const pieces = `${open ? '"' : ""}${text}`.split('"')
  if (pieces.length % 2 === 0) return -0.5
  const spoken = pieces.filter((piece, i) => i % 2 === 1 && wordsOf(piece).length >= 2)
  if (spoken.length === 0) return 0
  const told = pieces.filter((_, i) => i % 2 === 0).flatMap((piece) => wordsOf(piece.toLowerCase()))
  return 0.5 + (told.some((word) => speech.has(word)) ? 0.5 : 0)
}

const happyPart = (words: ReadonlyArray<string>): number => {
  const last = words.slice(Math.floor(words.length * 2 / 3))
  const good = new Set(last.filter((word) => happyWords.has(word))).size
  return clamp((Math.min(2, good) - last.filter((word) => unhappyWords.has(word)).length) / 2, -1, 1)
}

const endingPart = (text: string, closed: boolean): number => {
  const end = text.trimEnd()
  if (!closed || !/[.!?]["')]*$/u.test(end)) return 0
  return /\b(?:the end|ever after|from that day|from then on|best friends|all day)\b/iu.test(end.slice(-160)) ? 1 : 0.5
}

/** The parts of the gold reward. Pure and total: any two strings get finite numbers. */
export const parts = (prompt: string, completion: string): Parts => {
  const text = straight(completion)
  const sentences = sentencesOf(text)
  const words = wordsOf(text.toLowerCase())
  const before = straight(prompt)
  const open = before.split('"').length % 2 === 0
  const known = namesIn(before)
  const dialogue = dialoguePart(text, open)
  return {
    // A completion may begin in the middle of the sentence that the prompt began.
    sentences: sentencesPart(
      /[.!?]["')]*\s*$/u.test(before) || before === "" ? sentences : sentencesOf(`${before.slice(-200)}${text}`)
    ),
    repetition: repetitionPart(sentences, words),
    characters: words.length === 0 ? 0 : charactersPart(known, namesIn(text)),
    pronouns: pronounsPart(before, known, words),
    dialogue,
    happy: happyPart(words),
    english: words.length === 0 ? -1 : clamp((englishShare(text, before) - 0.5) / 0.225 - 1, -1, 1),
    ending: endingPart(text, dialogue >= 0)
  }
}

/** The gold reward of a continuation, in points: the sum of its parts. In [−6.25, 6]. */
export const stories = (prompt: string, completion: string): number =>
  Object.values(parts(prompt, completion)).reduce((sum: number, part: number) => sum + part, 0)
