import { eld } from "eld/small"
import { franc } from "franc"
import { letterOf } from "../text/scripts.ts"

/**
 * The language of a text. The n-grams of `eld` tell 60 languages apart; of other languages that IFEval asks for, those of `franc` do.
 */
const known: ReadonlySet<string> = new Set(Object.values(eld.info().Languages))

/** ISO 639-3 codes of languages that `eld` lacks. */
const others: Readonly<Record<string, string>> = { id: "ind", ne: "npi", so: "som", sw: "swh" }
const rivals = ["deu", "eng", "fra", "hin", "ita", "mar", "nld", "pol", "por", "spa", "tgl", "tur", "vie"]

/** A text is judged by its beginning; more of it changes no verdict. */
const beginning = 20_000

/** Null: the text holds nothing to tell a language by, or the language is not known. */
export const isIn = ({ language, text }: { readonly language: string; readonly text: string }): boolean | null => {
  const start = text.slice(0, beginning)
  const letters = start.match(/\p{L}/gu)?.length ?? 0
  if (letters === 0) return null
  if ((start.match(letterOf(language, "gu"))?.length ?? 0) < letters / 2) return false
  if (known.has(language)) return eld.detect(start).language === language
  const code = others[language]
  return code === undefined ? null : franc(start, { only: [...Object.values(others), ...rivals] }) === code
}
