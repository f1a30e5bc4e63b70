/**
 * Rows of a data set that is known by its size alone, for a plan: as many, of the mean lengths. A token stands in a text as a character of
 * Unicode's private use area and a space, whatever the tokenizer, so that it is a word too; the first tokens number the row, so that no
 * two rows are the same. Prompts have an answer, as verifiers need one; a plan's judges do not look at it.
 */
import type { Described } from "../../dsl/Source.ts"
import type { Dataset, Role } from "./dataset.ts"
import { viewed } from "./lazyArray.ts"

/** From this character on, so many stand for tokens. */
const [first, many] = [0xE000, 0x1000]

const standIn = /[\uE000-\uEFFF] ?/gu

/** The tokens that stand in a text, by number, and the rest of the text. */
export const standIns = (text: string): { readonly numbers: ReadonlyArray<number>; readonly rest: string } => {
  const numbers: Array<number> = []
  const rest = text.replaceAll(standIn, (found) => {
    numbers.push(found.charCodeAt(0) - first)
    return ""
  })
  return { numbers, rest }
}

/** Texts of `tokens` tokens, different for each number. */
const texts = (tokens: number) => {
  const digits = Math.min(4, tokens)
  // Rows share the text after their number: V8 copies it only when one is read.
  const rest = `${String.fromCharCode(first)} `.repeat(tokens - digits)
  // The answers to a prompt follow each other: it is one text, which V8 reads and hashes once.
  let [last, text] = [-1, ""]
  return (i: number): string => {
    if (i === last) return text
    let number = ""
    for (let digit = 0, left = i; digit < digits; digit++, left = Math.floor(left / many)) {
      number += String.fromCharCode(first + left % many, 0x20)
    }
    last = i
    return text = number + rest
  }
}

export const described = (
  role: Role,
  { rows, tokens: { completion = 1, completions: ofPrompt = 1, prompt = 1, text = 1 } }: Pick<
    Described,
    "rows" | "tokens"
  >
): Dataset => {
  const [asked, answer, document] = [texts(prompt), texts(completion), texts(text)]
  const all = <A>(row: (i: number) => A): ReadonlyArray<A> => viewed(rows, row)
  const several = (i: number) => Array.from({ length: ofPrompt }, (_, k) => answer(i * ofPrompt + k))
  const each = role === "Completions" || role === "ScoredCompletions" ? ofPrompt : 1
  const completed = (i: number) => ({
    prompt: asked(Math.floor(i / each)),
    completion: answer(i),
    ended: true,
    tokens: completion + 1
  })
  switch (role) {
    case "Text":
      return { role, rows: all((i) => ({ text: document(i) })), vocabulary: [] }
    case "Prompts":
      return { role, rows: all((i) => ({ prompt: asked(i), answer: "0" })) }
    case "Demonstrations":
      return { role, rows: all((i) => ({ prompt: asked(i), completion: answer(i) })) }
    case "Completions":
      return { role, rows: all(completed) }
    case "ScoredCompletions":
      return { role, rows: all((i) => ({ ...completed(i), score: i % each })) }
    case "UnpairedPreferences":
      return { role, rows: all((i) => ({ prompt: asked(i), completion: answer(i), label: i % 2 === 0 })) }
    case "Preferences":
      // With the largest margin that a publication has (Llama 2, Table 27), so that a filter by margins keeps them.
      return {
        role,
        rows: all((i) => ({ prompt: asked(i), chosen: answer(2 * i), rejected: answer(2 * i + 1), margin: 3 }))
      }
    case "Rankings":
      return {
        role,
        rows: all((i) => ({ prompt: asked(i), completions: several(i), ranks: several(i).map((_, k) => k + 1) }))
      }
    case "Stepwise":
      return {
        role,
        rows: all((i) => ({ prompt: asked(i), completions: several(i), labels: several(i).map(() => true) }))
      }
  }
}
