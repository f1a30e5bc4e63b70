/** One spelling for the many ways in which an answer is typeset. */

const symbols: Readonly<Record<string, string>> = {
  "−": "-",
  "–": "-",
  "×": "\\times ",
  "·": "\\cdot ",
  "÷": "/",
  "⁄": "/",
  "π": "\\pi ",
  "∞": "\\infty ",
  "√": "\\sqrt ",
  "≤": "\\le ",
  "≥": "\\ge ",
  "∪": "\\cup ",
  "∩": "\\cap ",
  "∈": "\\in ",
  "±": "\\pm ",
  "∅": "\\emptyset ",
  "°": "°",
  "²": "^2",
  "³": "^3",
  "½": " 1/2",
  "¼": " 1/4",
  "¾": " 3/4"
}
const symbol = new RegExp(`[${Object.keys(symbols).join("")}]`, "gu")

const rules: ReadonlyArray<readonly [RegExp, string]> = [
  [/\\(?:left|right|bigl?|bigr|Bigl?|Bigr|biggl?|biggr|displaystyle|textstyle|limits|mathstrut)(?![A-Za-z])\.?/gu, ""],
  [/\{,\}/gu, ","],
  [/,\s*\\!\s*/gu, ","],
  [/\\!/gu, ""],
  [/(?<!\\)\\[,;: ]|~|\\q?quad(?![A-Za-z])/gu, " "],
  [/\\(?:boxed|fbox)\s*(?=\{)/gu, ""],
  [/\\[dtc]frac(?![A-Za-z])/gu, "\\frac"],
  [/\\(?:mbox|textrm|textbf|textit|textsf|textup|mathrm|mathbf|mathit|mathsf|operatorname|bf|rm)\s*\{/gu, "\\text{"],
  [/\\(?:leq|leqslant)(?![A-Za-z])/gu, "\\le "],
  [/\\(?:geq|geqslant)(?![A-Za-z])/gu, "\\ge "],
  [/\\lt(?![A-Za-z])/gu, "<"],
  [/\\gt(?![A-Za-z])/gu, ">"],
  [/\\(?:lbrace)(?![A-Za-z])/gu, "\\{"],
  [/\\(?:rbrace)(?![A-Za-z])/gu, "\\}"],
  [/\\langle(?![A-Za-z])/gu, "("],
  [/\\rangle(?![A-Za-z])/gu, ")"],
  [/\\(?:varnothing)(?![A-Za-z])|\\\{\s*\\\}/gu, "\\emptyset"],
  [/\^\s*\{?\s*\\circ\s*\}?|\\degrees?(?![A-Za-z])/gu, "°"],
  [/\\([$%#&])/gu, "$1"],
  [/\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])/gu, "\\frac{$1}{$2}"],
  [/\\frac\s*([0-9a-zA-Z])\s*\{/gu, "\\frac{$1}{"],
  [/(\\frac\s*\{[^{}]*\})\s*([0-9a-zA-Z])/gu, "$1{$2}"],
  [/\\sqrt\s*([0-9a-zA-Z])/gu, "\\sqrt{$1}"]
]

/** Longer texts are no answers; they are compared as they are. */
export const longest = 1000

export const normalised = (latex: string): string => {
  let text = latex.trim()
  if (text.length > longest) return text
  text = text.replace(symbol, (char) => symbols[char]!).normalize("NFKC")
  for (const [pattern, by] of rules) text = text.replace(pattern, by)
  for (;;) {
    const bare = text.trim().replace(/^\*\*(.*)\*\*$/su, "$1").replace(/^`(.*)`$/su, "$1")
      .replace(/^(\$\$?)([^$]+)\1$/su, "$2").replace(/^\\\((.*)\\\)$|^\\\[(.*)\\\]$/su, "$1$2")
      .replace(/(?<!\.)[.,;:]$/u, "").trim()
    if (bare === text) break
    text = bare
  }
  return text.replace(/\s+/gu, " ")
}

/** Splits where `at` finds a separator outside of all brackets. */
export const split = (text: string, separator: RegExp): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let [depth, start] = [0, 0]
  const sticky = new RegExp(separator.source, "yu")
  for (let i = 0; i < text.length;) {
    const char = text[i]!
    sticky.lastIndex = i
    const found = depth === 0 ? sticky.exec(text)?.[0].length ?? 0 : 0
    if (found > 0) {
      parts.push(text.slice(start, i).trim())
      start = i += found
    } else {
      if ("([{".includes(char)) depth++
      else if (")]}".includes(char)) depth--
      i++
    }
  }
  return [...parts, text.slice(start).trim()]
}

/** Whether the bracket that `text` begins with is closed by its last character. */
export const enclosed = (text: string): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    if ("([{".includes(text[i]!)) depth++
    else if (")]}".includes(text[i]!)) depth--
    if (depth === 0 && i > 0 && i < text.length - 1 && !(i === 1 && text.startsWith("\\"))) return false
  }
  return depth === 0
}
