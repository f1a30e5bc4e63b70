/**
 * Whether two answers have the same mathematical meaning. Numbers are exact; a structure (tuple, interval, set, matrix, equation) is
 * compared part by part; formulas are left to `symbolic`.
 */
import { enclosed, longest, normalised, split } from "./latex.ts"
import { enoughDigits, type Rational, rational, sameNumber, scaled } from "./rational.ts"
import { type Unit, withoutUnit } from "./units.ts"

/** Whether two formulas in LaTeX are equal wherever both are defined, up to the error `within`, or as equations `up to a factor`. */
export type Symbolic = (
  first: string,
  second: string,
  options: { readonly within?: number; readonly upToFactor?: true }
) => boolean

type Answer =
  | { readonly kind: "list"; readonly open: string; readonly close: string; readonly items: ReadonlyArray<string> }
  | { readonly kind: "matrix"; readonly rows: ReadonlyArray<ReadonlyArray<string>> }
  | { readonly kind: "union"; readonly items: ReadonlyArray<string> }
  | { readonly kind: "equation"; readonly sides: ReadonlyArray<string> }
  | { readonly kind: "text"; readonly words: string }
  | { readonly kind: "formula"; readonly text: string }

const words = /^(?:\\text\{([^{}]*)\}|([A-Za-z]{3,}(?:[ '-][A-Za-z]+)*))$/u
const matrix = /^\\begin\{([pbvB]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}$/su
const bounds = /^(.+?)(<|\\le )(.+?)(<|\\le )(.+)$/su
const bound = /^([a-zA-Z])\s*(<|>|\\le |\\ge )(.+)$/su
const membership = /^\s*[a-zA-Z]\s*\\in(?![A-Za-z])\s*/u

/** An inequality as the interval of its solutions. */
const interval = (text: string): Answer | undefined => {
  const both = bounds.exec(text)
  if (both !== null) {
    const [, from = "", left, , right, to = ""] = both
    return {
      kind: "list",
      open: left === "<" ? "(" : "[",
      close: right === "<" ? ")" : "]",
      items: [from.trim(), to.trim()]
    }
  }
  const one = bound.exec(text)
  if (one === null) return undefined
  const [, , relation, at = ""] = one
  switch (relation) {
    case "<":
      return { kind: "list", open: "(", close: ")", items: ["-\\infty", at.trim()] }
    case "\\le ":
      return { kind: "list", open: "(", close: "]", items: ["-\\infty", at.trim()] }
    case ">":
      return { kind: "list", open: "(", close: ")", items: [at.trim(), "\\infty"] }
    default:
      return { kind: "list", open: "[", close: ")", items: [at.trim(), "\\infty"] }
  }
}

const signs = (item: string): ReadonlyArray<string> =>
  /\\pm(?![A-Za-z])/u.test(item)
    ? [item.replace(/\\pm(?![A-Za-z])\s*/u, "+").replace(/^\+/u, ""), item.replace(/\\pm(?![A-Za-z])\s*/u, "-")]
    : [item]

const isNumber = (text: string): boolean => rational(withoutUnit(text).core) !== undefined

const comma = /,|\s(?:and|or)\s|\\text\{\s*(?:and|or)\s*\}/

const parse = (written: string): Answer => {
  const text = written.replace(membership, "").trim()
  const said = words.exec(text)
  if (said !== null) return { kind: "text", words: (said[1] ?? said[2]!).trim().toLowerCase().replace(/\s+/gu, " ") }
  if (isNumber(text)) return { kind: "formula", text }
  const found = matrix.exec(text)
  if (found !== null) {
    const rows = found[2]!.split("\\\\").map((row) => row.trim()).filter((row) => row !== "")
    return { kind: "matrix", rows: rows.map((row) => row.split("&").map((cell) => cell.trim())) }
  }
  const union = split(text, /\\cup(?![A-Za-z])/)
  if (union.length > 1) return { kind: "union", items: union }
  const items = split(text, comma).flatMap(signs)
  if (items.length > 1) {
    // Of `x = 1, x = 2` or `x = 1, 2`, the values.
    return { kind: "list", open: "", close: "", items: items.map((item) => item.replace(/^[a-zA-Z]\s*=\s*/u, "")) }
  }
  const set = text.startsWith("\\{") && text.endsWith("\\}")
  if ((set || /^[([].*[)\]]$/su.test(text)) && enclosed(text)) {
    const inside = set ? text.slice(2, -2) : text.slice(1, -1)
    const parts = split(inside, /,/)
    if (set || parts.length > 1) {
      return {
        kind: "list",
        open: set ? "{" : text[0]!,
        close: set ? "}" : text.at(-1)!,
        items: set ? parts.flatMap(signs) : parts
      }
    }
  }
  const sides = split(text, /=/)
  if (sides.length > 1) return { kind: "equation", sides }
  return interval(text) ?? { kind: "formula", text }
}

const choice = /^\(?([A-Z])\)?$/u

/** The letter of an answer such as `(C)` or `C. 12`. */
const chosen = (text: string): string | undefined =>
  /^(?:(?:option|choice)\s+)?(?:\\text\{)?\s*\(?([A-Z])(?:\)|\.|:|\}|$)/u.exec(text)?.[1]

/** Structures deeper than this are not compared. */
const deepest = 4
const most = 64

export const sameAnswer = (said: string, reference: string, symbolic: Symbolic): boolean => {
  const [a, b] = [normalised(said), normalised(reference)]
  if (a === "" || b === "") return false
  if (a.length > longest || b.length > longest) return a === b
  const letter = choice.exec(b.replace(/^\\text\{\s*(.*?)\s*\}$/u, "$1"))?.[1]
  if (letter !== undefined && chosen(a) === letter) return true
  return same(a, b, symbolic, 0)
}

const same = (a: string, b: string, symbolic: Symbolic, depth: number): boolean => {
  if (a.replaceAll(" ", "") === b.replaceAll(" ", "")) return true
  if (depth > deepest) return false
  const inner = (x: string, y: string): boolean => same(x, y, symbolic, depth + 1)
  const [first, second] = [parse(a), parse(b)]
  if (first.kind === "text" || second.kind === "text") {
    return first.kind === "text" && second.kind === "text" && first.words === second.words
  }
  if (first.kind === "equation" || second.kind === "equation") return sameEquation(first, second, a, b, inner, symbolic)
  if (first.kind === "matrix" || second.kind === "matrix") {
    const [x, y] = [cells(first), cells(second)]
    return x !== undefined && y !== undefined && x.length === y.length &&
      x.every((row, i) => inOrder(row, y[i]!, inner))
  }
  if (first.kind === "union" || second.kind === "union") {
    // `x < 2 or x > 3` is a list of two intervals.
    const [x, y] = [parts(first), parts(second)]
    return x !== undefined && y !== undefined && inAnyOrder(x, y, inner)
  }
  if (first.kind === "list" && second.kind === "list") return sameList(first, second, inner)
  if (first.kind === "list" || second.kind === "list") {
    // A set of one element is that element.
    const [list, other] = first.kind === "list" ? [first, b] : second.kind === "list" ? [second, a] : []
    return list?.open === "{" && list.items.length === 1 && inner(list.items[0]!, other!)
  }
  return sameFormula(first.text, second.text, symbolic)
}

const parts = (answer: Answer): ReadonlyArray<string> | undefined =>
  answer.kind === "union" || answer.kind === "list" && answer.open === "" ? answer.items : undefined

/** Rows of a matrix; a tuple is a column, and so is a row by itself. */
const cells = (answer: Answer): ReadonlyArray<ReadonlyArray<string>> | undefined => {
  if (answer.kind === "list") return answer.open === "(" ? answer.items.map((item) => [item]) : undefined
  if (answer.kind !== "matrix") return undefined
  return answer.rows.length === 1 ? answer.rows[0]!.map((cell) => [cell]) : answer.rows
}

const inOrder = (
  a: ReadonlyArray<string>,
  b: ReadonlyArray<string>,
  equal: (x: string, y: string) => boolean
): boolean => a.length === b.length && a.length <= most && a.every((item, i) => equal(item, b[i]!))

/** A partner for each item. Equality is transitive but for rounding, so the first partner found will do. */
const inAnyOrder = (
  a: ReadonlyArray<string>,
  b: ReadonlyArray<string>,
  equal: (x: string, y: string) => boolean
): boolean => {
  if (a.length !== b.length || a.length > most) return false
  const left = [...b]
  return a.every((item) => {
    const at = left.findIndex((other) => equal(item, other))
    if (at >= 0) left.splice(at, 1)
    return at >= 0
  })
}

type List = Extract<Answer, { readonly kind: "list" }>

/** Sets and values in a row have no order; tuples and intervals have, and their brackets count. */
const sameList = (a: List, b: List, equal: (x: string, y: string) => boolean): boolean => {
  const [free, other] = a.open === "" || a.open === "{" ? [a, b] : [b, a]
  if (free.open === "" || free.open === "{") {
    return other.open === "" || other.open === "{"
      ? inAnyOrder(a.items, b.items, equal)
      : free.open === "" && other.open === "(" && other.close === ")" && inOrder(a.items, b.items, equal)
  }
  return a.open === b.open && a.close === b.close && inOrder(a.items, b.items, equal)
}

/** `x`, `f(x)` and the like: a name for the value on the other side. */
const isName = (text: string): boolean =>
  /^(?:\\text\{[^{}]*\}|\\?[A-Za-z]+)(?:_\{?\w+\}?)?(?:\([A-Za-z, ]*\))?$/u.test(text)

const sameEquation = (
  first: Answer,
  second: Answer,
  a: string,
  b: string,
  equal: (x: string, y: string) => boolean,
  symbolic: Symbolic
): boolean => {
  if (first.kind === "equation" && second.kind === "equation") {
    const [[l1 = "", ...r1], [l2 = "", ...r2]] = [first.sides, second.sides]
    if (l1 === l2 && isName(l1)) return equal(r1.at(-1)!, r2.at(-1)!)
    if (r1.length > 1 || r2.length > 1) return false
    const at = (sides: ReadonlyArray<string>) => `(${sides[0]}) - (${sides[1]})`
    return symbolic(at(first.sides), at(second.sides), { upToFactor: true })
  }
  const [equation, other] = first.kind === "equation" ? [first, b] : second.kind === "equation" ? [second, a] : []
  if (equation === undefined || other === undefined) return false
  // The reference names its value, or the solution computes it in a chain.
  return (isName(equation.sides[0]!) || equation === first) && equal(equation.sides.at(-1)!, other)
}

const hundredth: Rational = { n: 1n, d: 100n }

/** Every value that a number with its unit may have been meant as, against the other's. */
const sameUnits = (a: Rational, unit: Unit | null, b: Rational, other: Unit | null): boolean => {
  if (unit?.percent !== other?.percent) {
    // 50% is 0.5, and where a percentage was asked for, 50.
    const [share, whole] = unit?.percent === true ? [a, b] : [b, a]
    return sameNumber(a, b) || sameNumber(scaled(share, hundredth), whole)
  }
  if (unit?.quantity === undefined || other?.quantity === undefined) return sameNumber(a, b)
  return unit.quantity === other.quantity &&
    (unit.scale === other.scale ? sameNumber(a, b) : sameNumber(scaled(a, unit.scale!), scaled(b, other.scale!)))
}

/** Without the commas between groups of three digits. */
const ungrouped = (text: string): string => text.replace(/(?<=\d),(?=\d{3})/gu, "")

const sameFormula = (first: string, second: string, symbolic: Symbolic): boolean => {
  const [a, b] = [withoutUnit(first), withoutUnit(second)]
  const [x, y] = [rational(a.core), rational(b.core)]
  if (x !== undefined && y !== undefined) return sameUnits(x, a.unit, y, b.unit)
  if (a.core === b.core) return true
  if (a.unit?.quantity !== undefined && b.unit?.quantity !== undefined && a.unit.quantity !== b.unit.quantity) {
    return false
  }
  const close = (x ?? y)?.decimal
  return symbolic(
    ungrouped(a.core),
    ungrouped(b.core),
    close !== undefined && close.digits >= enoughDigits ? { within: close.unit } : {}
  )
}
