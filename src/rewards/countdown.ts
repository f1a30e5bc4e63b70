import { answerIn } from "./mathematics/extract.ts"

/** A fraction, exact. */
interface Value {
  readonly n: bigint
  readonly d: bigint
}

const tokens = /\s*(?:(\d{1,15})|([-+*/()]))/yu

/** The value of an expression of + − × ÷ and brackets, and the numbers in it; undefined when it is none, or divides by 0. */
const evaluated = (text: string): { readonly value: Value; readonly used: ReadonlyArray<number> } | undefined => {
  const parts: Array<string> = []
  const trimmed = text.trim()
  tokens.lastIndex = 0
  for (let at = 0; at < trimmed.length; at = tokens.lastIndex) {
    const match = tokens.exec(trimmed)
    if (match === null || parts.length > most) return undefined
    parts.push(match[1] ?? match[2]!)
  }
  const used: Array<number> = []
  let at = 0
  const factor = (): Value | undefined => {
    const part = parts[at++]
    if (part === "-") {
      const value = factor()
      return value && { n: -value.n, d: value.d }
    }
    if (part === "(") {
      const value = sum()
      return parts[at++] === ")" ? value : undefined
    }
    if (part === undefined || !/^\d/u.test(part)) return undefined
    used.push(Number(part))
    return { n: BigInt(part), d: 1n }
  }
  const product = (): Value | undefined => {
    let left = factor()
    while (left !== undefined && (parts[at] === "*" || parts[at] === "/")) {
      const divides = parts[at++] === "/"
      const right = factor()
      if (right === undefined || divides && right.n === 0n) return undefined
      left = divides ? { n: left.n * right.d, d: left.d * right.n } : { n: left.n * right.n, d: left.d * right.d }
    }
    return left
  }
  const sum = (): Value | undefined => {
    let left = product()
    while (left !== undefined && (parts[at] === "+" || parts[at] === "-")) {
      const sign = parts[at++] === "+" ? 1n : -1n
      const right = product()
      if (right === undefined) return undefined
      left = { n: left.n * right.d + sign * right.n * left.d, d: left.d * right.d }
    }
    return left
  }
  const value = sum()
  return value === undefined || at < parts.length ? undefined : { value, used }
}

/** Longer expressions use more numbers than any task gives. */
const most = 200

const tag = "<answer>"

/** The expression that a completion ends with. */
const expressionIn = (completion: string): string => {
  const at = completion.lastIndexOf(tag)
  const said = at >= 0
    ? completion.slice(at + tag.length).split("</answer>", 1)[0]!
    : answerIn(completion, false) ?? completion.trimEnd().split("\n").at(-1)!
  return said.slice(0, 1000).replaceAll(/\\times|\\cdot|×|·/gu, "*").replaceAll(/\\div|÷/gu, "/").replaceAll("−", "-")
    .replaceAll("$", "").split("=", 1)[0]!.match(/[\d+\-*/()\s]*$/u)![0]
}

const sorted = (numbers: ReadonlyArray<number>): string => numbers.toSorted((a, b) => a - b).join(" ")

/** Whether the completion's expression has the value `target` and uses each of `numbers` once. */
export const reaches = (completion: string, numbers: ReadonlyArray<number>, target: number): boolean => {
  const found = evaluated(expressionIn(completion))
  return Number.isInteger(target) && found !== undefined && sorted(found.used) === sorted(numbers) &&
    found.value.n === BigInt(target) * found.value.d
}
