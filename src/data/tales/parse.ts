import { grammar, longestSentence } from "./grammar.ts"

/** A node of a parse tree: the rule, the words it covers (`start` included, `end` not), and the rules inside it. */
export interface ParseTree {
  readonly rule: string
  readonly start: number
  readonly end: number
  readonly children: ReadonlyArray<ParseTree>
}

// "Thing:ball" is a leaf that counts as a Thing and is the word "ball".
type Symbol = { readonly rule?: string; readonly word?: string }
const symbol = (text: string): Symbol => {
  const [head, word] = text.split(":")
  if (word !== undefined) return { rule: head!, word }
  return text in grammar ? { rule: text } : { word: text }
}
const rules = new Map(
  Object.entries(grammar).map(([rule, alternatives]) => [rule, alternatives.map((a) => a.split(" ").map(symbol))])
)

/** All ways in which a rule matches from `start`; finite and short, because the grammar has no recursion. */
const match = (rule: string, words: ReadonlyArray<string>, start: number): Array<ParseTree> =>
  rules.get(rule)!.flatMap((symbols) =>
    matchAll(symbols, 0, words, start).map(({ children, end }) => ({ rule, start, end, children }))
  )

type Partial = { readonly children: ReadonlyArray<ParseTree>; readonly end: number }
const matchAll = (
  symbols: ReadonlyArray<Symbol>,
  i: number,
  words: ReadonlyArray<string>,
  at: number
): Array<Partial> => {
  if (i === symbols.length) return [{ children: [], end: at }]
  const { rule, word } = symbols[i]!
  if (word !== undefined) {
    if (words[at] !== word) return []
    const rest = matchAll(symbols, i + 1, words, at + 1)
    if (rule === undefined) return rest
    const leaf: ParseTree = { rule, start: at, end: at + 1, children: [] }
    return rest.map((r) => ({ children: [leaf, ...r.children], end: r.end }))
  }
  return match(rule!, words, at).flatMap((tree) =>
    matchAll(symbols, i + 1, words, tree.end).map((r) => ({ children: [tree, ...r.children], end: r.end }))
  )
}

/** A cache of the sentences that were parsed last: judging an answer step by step, or again, meets the same sentences. */
const parsed = new Map<string, ParseTree | undefined>()
const remembered = 4096

/** The parse of a whole sentence, or undefined for a sentence outside the grammar. */
export const parse = (words: ReadonlyArray<string>): ParseTree | undefined => {
  if (words.length > longestSentence) return undefined
  const sentence = words.join(" ")
  if (parsed.has(sentence)) return parsed.get(sentence)
  const tree = match("Sentence", words, 0).find((tree) => tree.end === words.length)
  if (parsed.size >= remembered) parsed.delete(parsed.keys().next().value!)
  parsed.set(sentence, tree)
  return tree
}

/** Every node of a rule in a tree, from left to right. */
export const find = (tree: ParseTree, rule: string): ReadonlyArray<ParseTree> =>
  tree.rule === rule ? [tree] : tree.children.flatMap((child) => find(child, rule))

/** Words to sentences, each with its full stop; words after the last full stop are a (broken) sentence too. */
export const sentences = (words: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const all: Array<ReadonlyArray<string>> = []
  let start = 0
  words.forEach((word, i) => {
    if (word === "." || i === words.length - 1) {
      all.push(words.slice(start, i + 1))
      start = i + 1
    }
  })
  return all
}
