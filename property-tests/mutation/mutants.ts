/**
 * Every small change of a source file that could be a mistake: an operator swapped, a sign turned, a constant moved, an index off
 * by one, a term dropped, a branch taken always or never. Text in, edits out; nothing is run here.
 */
import ts from "typescript-6"

/** Replaces `text.slice(start, end)` by `to`. */
export interface Mutant {
  readonly file: string
  readonly line: number
  readonly what: string
  readonly start: number
  readonly end: number
  readonly from: string
  readonly to: string
}

const swapped: Readonly<Record<string, string>> = {
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "**": "*",
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "&&": "||",
  "||": "&&",
  "+=": "-=",
  "-=": "+=",
  "*=": "/="
}

const functions: Readonly<Record<string, string>> = {
  "Math.max": "Math.min",
  "Math.min": "Math.max",
  "Math.exp": "Math.expm1",
  "Math.expm1": "Math.exp",
  "Math.log": "Math.log1p",
  "Math.log1p": "Math.log",
  "Math.sqrt": "Math.abs",
  "Math.abs": "Math.sqrt"
}

/** What throws is about the caller's bugs, and its text is for people: no formula. */
const isForPeople = (node: ts.Node): boolean =>
  ts.isThrowStatement(node) || ts.isTemplateExpression(node) || ts.isStringLiteral(node) || ts.isTypeNode(node) ||
  ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isImportDeclaration(node)

/** The step of a loop: changed, it only makes the loop endless. */
const isStep = (node: ts.Node): boolean =>
  node.parent !== undefined && ts.isForStatement(node.parent) && node.parent.incrementor === node

/** In the condition of a loop operators are swapped; without a term it would be endless. */
const isLoopCondition = (node: ts.Node): boolean => {
  for (let at = node; at.parent !== undefined; at = at.parent) {
    if (ts.isForStatement(at.parent)) return at.parent.condition === at
  }
  return false
}

export const mutantsOf = (file: string, text: string): ReadonlyArray<Mutant> => {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: Array<Mutant> = []
  const add = (what: string, node: { readonly start: number; readonly end: number }, to: string) => {
    const from = text.slice(node.start, node.end)
    if (from === to) return
    const { line } = source.getLineAndCharacterOfPosition(node.start)
    found.push({ file, line: line + 1, what, start: node.start, end: node.end, from, to })
  }
  const span = (node: ts.Node) => ({ start: node.getStart(source), end: node.end })
  const textOf = (node: ts.Node): string => node.getText(source)

  const visit = (node: ts.Node): void => {
    if (isForPeople(node) || isStep(node)) return
    if (ts.isBinaryExpression(node)) {
      const operator = node.operatorToken.getText(source)
      const to = swapped[operator]
      if (to !== undefined) add(`${operator} becomes ${to}`, span(node.operatorToken), to)
      if ((operator === "+" || operator === "-") && !isLoopCondition(node)) {
        add("the second term is dropped", span(node), `(${textOf(node.left)})`)
        add("the first term is dropped", span(node), `(${operator === "-" ? "-" : ""}(${textOf(node.right)}))`)
      }
      if (operator === "*" || operator === "/") {
        add("the second factor is dropped", span(node), `(${textOf(node.left)})`)
      }
      if (operator === "+=" || operator === "-=") add("it sets where it added", span(node.operatorToken), "=")
    } else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.MinusToken) {
      add("the sign is turned", span(node), `(${textOf(node.operand)})`)
    } else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
      add("the negation is dropped", span(node), `(${textOf(node.operand)})`)
    } else if (ts.isNumericLiteral(node)) {
      const value = Number(node.text)
      add("the constant is moved", span(node), String(value === 0 ? 1 : value < 1e-3 ? value * 1e6 : value + 1))
    } else if (ts.isConditionalExpression(node)) {
      add("always the first branch", span(node), `(${textOf(node.whenTrue)})`)
      add("always the second branch", span(node), `(${textOf(node.whenFalse)})`)
    } else if (ts.isIfStatement(node) && !ts.isThrowStatement(node.thenStatement)) {
      add("the condition always holds", span(node.expression), "true")
      add("the condition never holds", span(node.expression), "false")
    } else if (ts.isCallExpression(node)) {
      const to = functions[textOf(node.expression)]
      if (to !== undefined) add(`${textOf(node.expression)} becomes ${to}`, span(node.expression), to)
    } else if (node.kind === ts.SyntaxKind.TrueKeyword) add("true becomes false", span(node), "false")
    else if (node.kind === ts.SyntaxKind.FalseKeyword) add("false becomes true", span(node), "true")
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

export const mutated = (text: string, { end, start, to }: Mutant): string => text.slice(0, start) + to + text.slice(end)

/** How a mutant is named in the list of equivalent ones: by its text, so that edits elsewhere in the file leave the name. */
export const nameOf = (text: string, { end, file, start, to }: Mutant): string => {
  const line = (from: string): string => {
    const first = from.lastIndexOf("\n", start - 1) + 1
    const last = from.indexOf("\n", end)
    return from.slice(first, last === -1 ? undefined : last).trim()
  }
  const before = line(text)
  const column = start - text.lastIndexOf("\n", start - 1) - 1 -
    (text.slice(text.lastIndexOf("\n", start - 1) + 1).length -
      text.slice(text.lastIndexOf("\n", start - 1) + 1).trimStart().length)
  return `${file}: ${before.slice(0, column)}⟦${text.slice(start, end)} → ${to}⟧${before.slice(column + end - start)}`
}
