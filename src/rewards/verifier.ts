import { Verifier } from "../../dsl/Verifier.ts"
import { wordsOf } from "../data/rows.ts"

/**
 * Whether a completion passes a verifier's check (`dsl/Verifier.ts` describes each check). Pure and total: any two strings get a fixed
 * answer, and a prompt without the answer that a verifier needs fails it.
 */
export const verify = (verifier: Verifier, completion: string, answer: string | undefined): boolean =>
  Verifier.match(verifier, {
    FinalAnswer: ({ marker }) => {
      const at = completion.lastIndexOf(marker)
      if (at < 0 || answer === undefined) return false
      return equal(completion.slice(at + marker.length).split("\n", 1)[0]!, answer)
    },
    LastNumber: () => {
      const said = completion.match(numbers)?.at(-1)
      return said !== undefined && answer !== undefined && number(answer) !== undefined && equal(said, answer)
    },
    Keywords: () => {
      const wanted = wordsOf(answer ?? "")
      const said = new Set(wordsOf(completion))
      return wanted.length > 0 && wanted.every((word) => said.has(word))
    },
    Format: ({ parts }) => {
      let at = 0
      for (const part of parts) {
        const found = completion.indexOf(part, at)
        if (found < 0 || completion.split(part).length !== 2) return false
        at = found + part.length
      }
      return completion.slice(at).trim() === ""
    }
  })

/** Digits, in groups of three where there are commas, and decimals; no digit, comma or point runs on before or after. */
const plain = String.raw`[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?`
const numbers = new RegExp(String.raw`(?<![\d.,])${plain}(?!\d|,\d)`, "gu")
const whole = new RegExp(`^${plain}$`, "u")

/**
 * A decimal number in one spelling: `+1,000.50` is `1000.5`. Text, not floating point, so that numbers of any length are compared to the
 * last digit. A currency sign before it and a full stop after it are not part of it.
 */
const number = (text: string): string | undefined => {
  const bare = text.trim().replace(/^\$/u, "").replace(/\.$/u, "")
  if (!whole.test(bare)) return undefined
  const [integer = "", decimals = ""] = bare.replaceAll(",", "").replace(/^[+-]/u, "").split(".")
  const digits = `${integer.replace(/^0+(?=\d)/u, "")}.${decimals.replace(/0+$/u, "")}`.replace(/\.$/u, "")
  return bare.startsWith("-") && digits !== "0" ? `-${digits}` : digits
}

const equal = (said: string, answer: string): boolean => {
  const [a, b] = [number(said), number(answer)]
  if (a !== undefined && b !== undefined) return a === b
  const text = wordsOf(said).join(" ")
  return text !== "" && text === wordsOf(answer).join(" ")
}
