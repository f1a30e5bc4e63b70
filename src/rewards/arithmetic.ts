/** Expressions of numbers, + − × ÷ and brackets. */

/** A fraction, exact. */
export interface Value {
  readonly n: bigint
  readonly d: bigint
}

const wholes = /\s*(?:(\d{1,15})|([-+*/()]))/yu
const decimals = /\s*(?:(\d{1,15}(?:\.\d{1,15})?)|([-+*/()]))/yu

/** Longer expressions use more numbers than any task gives. */
const most = 200

/** Signs as a keyboard has them. */
export const plainSigns = (text: string): string =>
  text.replaceAll(/\\times|\\cdot|×|·/gu, "*").replaceAll(/\\div|÷/gu, "/").replaceAll("−", "-")

/** The value of an expression, and the numbers in it, whole ones or any; undefined when it is none, or divides by 0. */
export const evaluated = (
  text: string,
  numbers: "wholes" | "decimals" = "wholes"
): { readonly value: Value; readonly used: ReadonlyArray<number> } | undefined => {
  const tokens = numbers === "wholes" ? wholes : decimals
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
    const [whole, digits = ""] = part.split(".") as [string, string?]
    return { n: BigInt(whole + digits), d: 10n ** BigInt(digits.length) }
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
