/** The final answer of a solution, wherever it announces it. All searches take time in proportion to the text. */

const boxes = ["\\boxed", "\\fbox", "\\framebox"]

/** What stands in the last complete `\boxed{…}`; braces may nest. */
const boxed = (text: string): string | undefined => {
  if (!text.includes("box")) return undefined
  const open: Array<number> = []
  let last: string | undefined
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === "\\") i++
    else if (char === "{") open.push(i)
    else if (char === "}") {
      const start = open.pop()
      if (start === undefined) continue
      const before = text.slice(Math.max(0, start - 12), start).trimEnd()
      if (boxes.some((box) => before.endsWith(box))) last = text.slice(start + 1, i)
    }
  }
  return last
}

const markers = /#{4}|(?<=^|\n)[ \t]*A:|\banswers?(?:\s+is|\s+are|\s*:|\s*=)(?!\w)\s*:?/giu

/** The rest of the line after the last `####`, `A:` at the beginning of a line or `answer is`; if that is empty, the next line. */
const announced = (text: string): string | undefined => {
  let found: RegExpExecArray | undefined
  for (const match of text.matchAll(markers)) found = match
  if (found === undefined) return undefined
  const said = text.slice(found.index + found[0].length, found.index + found[0].length + 4000)
    .replace(/^[\s*_:]+/u, "").split("\n", 1)[0]!.replace(/[\s*_]+$/u, "")
  return /^[#A]/iu.test(found[0].trim()) && !/^answer/iu.test(found[0]) ? said : sentence(said)
}

/** Of a sentence, the first formula, or all of it without its end. */
const sentence = (text: string): string => {
  const formula = /\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]/u.exec(text)
  if (formula !== null && !/\d/u.test(text.slice(0, formula.index))) return (formula[1] ?? formula[2] ?? formula[3])!
  return text.split(/[.!?](?:\s|$)|,?\s(?:because|since|so|which|as)\s/u, 1)[0]!
}

/** Digits, in groups of three where there are commas, and decimals; no digit, comma or point runs on before or after. */
export const plainNumber = String.raw`[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?`
export const numbers = new RegExp(String.raw`(?<![\d.,])${plainNumber}(?!\d|,\d)`, "gu")
const fractions = new RegExp(String.raw`(?<![\d.,/])${plainNumber}(?:/\d+)?%?(?!\d|,\d)`, "gu")

/** The answer that a completion ends with: in a box, announced, or with `guess` its last number. */
export const answerIn = (completion: string, guess: boolean): string | undefined =>
  boxed(completion) ?? announced(completion) ?? (guess ? completion.match(fractions)?.at(-1) : undefined)

/** The answer of a row: in a box or after a marker where it is a whole solution, else all of it. */
export const referenceIn = (answer: string): string =>
  boxed(answer) ?? (/#{4}|(?:^|\n)[ \t]*A:/u.test(answer) ? announced(answer) : undefined) ?? answer
