/** Values of `@huggingface/jinja` (0.5.11), written, compared and computed with as Python does. */
import { Environment, Interpreter } from "@huggingface/jinja"

/** A value of the package: `type` is the name of its class. */
export interface Value {
  readonly type: string
  readonly value?: unknown
}
type Make = new(value?: unknown) => Value

/** The package exports no classes of values; its environment makes one of each. */
const Literal = Interpreter as unknown as new(of: unknown) => { evaluate: (node: unknown, of: unknown) => Value }
const environment = new Environment() as unknown as { set: (name: string, value: unknown) => Value }
export const classes = {
  Integer: environment.set("integer", 1).constructor as Make,
  Float: environment.set("float", 0.5).constructor as Make,
  String: environment.set("string", "").constructor as Make,
  Boolean: environment.set("boolean", true).constructor as Make,
  Null: environment.set("null", null).constructor as Make,
  Array: environment.set("array", []).constructor as Make,
  Tuple: new Literal(environment).evaluate({ type: "TupleLiteral", value: [] }, environment).constructor as Make,
  Function: environment.set("function", () => null).constructor as Make,
  Undefined: environment.set("undefined", undefined).constructor as Make
}

export const text = (value: string): Value => new classes.String(value)
export const whole = (value: number): Value => new classes.Integer(value)
export const truth = (value: boolean): Value => new classes.Boolean(value)
export const tuple = (values: ReadonlyArray<Value>): Value => new classes.Tuple(values)
export const list = (values: ReadonlyArray<Value>): Value => new classes.Array(values)
export const none = (): Value => new classes.Null(null)

export const isText = (value: Value | undefined): value is Value & { readonly value: string } =>
  value?.type === "StringValue"
export const isList = (value: Value): value is Value & { readonly value: ReadonlyArray<Value> } =>
  value.type === "ArrayValue" || value.type === "TupleValue"
export const isObject = (value: Value): value is Value & { readonly value: ReadonlyMap<string, Value> } =>
  value.type === "ObjectValue"
export const isNumber = (value: Value): boolean =>
  value.type === "IntegerValue" || value.type === "FloatValue" || value.type === "BooleanValue"
export const numberOf = (value: Value): number => Number(value.value)

/** As `float.__repr__`: the shortest digits that give the number, with an exponent from 1e16 and below 1e-4. */
const floating = (x: number): string => {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf"
  if (Object.is(x, -0)) return "-0.0"
  const size = Math.abs(x)
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) {
    return x.toExponential().replace(/e([+-])(\d)$/u, "e$10$2")
  }
  return Number.isInteger(x) ? x.toFixed(1) : String(x)
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }
const quoted = (value: string): string => {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  const inner = value.replaceAll(/[\\\n\r\t]|[^\P{C}\n\r\t]|[^\P{Z} ]/gu, (one) => {
    if (Object.hasOwn(escapes, one)) return escapes[one]!
    const code = one.codePointAt(0)!
    const [mark, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8]
    return `\\${mark}${code.toString(16).padStart(digits as number, "0")}`
  })
  return `${quote}${quote === "'" ? inner.replaceAll("'", "\\'") : inner}${quote}`
}

/** As Python's `str`; with `inside`, as its `repr`. */
export const written = (value: Value, inside = false): string => {
  if (isText(value)) return inside ? quoted(value.value) : value.value
  if (isList(value)) {
    const inner = value.value.map((one) => written(one, true)).join(", ")
    return value.type === "ArrayValue" ? `[${inner}]` : `(${inner}${value.value.length === 1 ? "," : ""})`
  }
  if (isObject(value)) {
    return `{${[...value.value].map(([key, one]) => `${quoted(key)}: ${written(one, true)}`).join(", ")}}`
  }
  switch (value.type) {
    case "NullValue":
      return "None"
    case "UndefinedValue":
      return inside ? "Undefined" : ""
    case "BooleanValue":
      return value.value === true ? "True" : "False"
    case "IntegerValue":
      // JSON's 1e300 is no whole number to Python.
      return Math.abs(value.value as number) < 1e21
        ? BigInt(value.value as number).toString()
        : floating(value.value as number)
    case "FloatValue":
      return floating(value.value as number)
    default:
      throw new TypeError(`it writes a ${value.type} as text`)
  }
}

export const equal = (a: Value, b: Value): boolean => {
  if (isNumber(a) && isNumber(b)) return numberOf(a) === numberOf(b)
  if (a.type !== b.type) return false
  if (isList(a) && isList(b)) {
    return a.value.length === b.value.length && a.value.every((one, i) => equal(one, b.value[i]!))
  }
  if (isObject(a) && isObject(b)) {
    return a.value.size === b.value.size &&
      [...a.value].every(([key, one]) => b.value.has(key) && equal(one, b.value.get(key)!))
  }
  return a.value === b.value
}

/** By code points, as Python compares texts. */
export const order = (a: Value, b: Value): number => {
  if (isNumber(a) && isNumber(b)) return Math.sign(numberOf(a) - numberOf(b))
  if (isText(a) && isText(b)) {
    const [left, right] = [Array.from(a.value), Array.from(b.value)]
    const at = left.findIndex((one, i) => one !== right[i])
    return at < 0
      ? Math.sign(left.length - right.length)
      : right[at] === undefined
      ? 1
      : Math.sign(left[at]!.codePointAt(0)! - right[at].codePointAt(0)!)
  }
  if (isList(a) && a.type === b.type && isList(b)) {
    const at = a.value.findIndex((one, i) => b.value[i] === undefined || !equal(one, b.value[i]))
    return at < 0
      ? Math.sign(a.value.length - b.value.length)
      : b.value[at] === undefined
      ? 1
      : order(a.value[at]!, b.value[at])
  }
  throw new TypeError(`it compares a ${a.type} with a ${b.type}`)
}

const isIn = (one: Value, all: Value): boolean => {
  if (isText(all)) {
    if (isText(one)) return all.value.includes(one.value)
    throw new TypeError(`it looks for a ${one.type} in a text`)
  }
  if (isList(all)) return all.value.some((other) => equal(one, other))
  if (isObject(all)) return isText(one) && all.value.has(one.value)
  if (all.type === "UndefinedValue") return false
  throw new TypeError(`it looks for something in a ${all.type}`)
}

export const comparisons: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  "==": equal,
  "!=": (a, b) => !equal(a, b),
  "<": (a, b) => order(a, b) < 0,
  ">": (a, b) => order(a, b) > 0,
  "<=": (a, b) => order(a, b) <= 0,
  ">=": (a, b) => order(a, b) >= 0,
  in: isIn,
  "not in": (a, b) => !isIn(a, b)
}

const floored = (a: number, b: number): number => a - b * Math.floor(a / b)

/** Arithmetic of numbers, truth values among them. */
const computed = (operator: string, a: Value, b: Value): Value | undefined => {
  if (!isNumber(a) || !isNumber(b)) return undefined
  const [x, y] = [numberOf(a), numberOf(b)]
  const made = a.type === "FloatValue" || b.type === "FloatValue" ? (z: number) => new classes.Float(z) : whole
  if (y === 0 && (operator === "%" || operator === "//" || operator === "/")) throw new RangeError("it divides by zero")
  switch (operator) {
    case "+":
      return made(x + y)
    case "-":
      return made(x - y)
    case "*":
      return made(x * y)
    case "/":
      return new classes.Float(x / y)
    case "//":
      return made(Math.floor(x / y))
    case "%":
      return made(floored(x, y))
    default:
      return undefined
  }
}

/** `left` and `right` by the operator, as Python; undefined where the package does the same. */
export const combined = (operator: string, left: Value, right: Value): Value | undefined => {
  const compare = Object.hasOwn(comparisons, operator) ? comparisons[operator] : undefined
  if (compare !== undefined) return truth(compare(left, right))
  if (operator === "~") return text(written(left) + written(right))
  if (operator === "+" && (isText(left) !== isText(right))) {
    const { type } = isText(left) ? right : left
    throw new TypeError(`it puts together a text and a value of the type ${type} by +`)
  }
  if (operator === "*") {
    const [one, times] = isNumber(left) ? [right, left] : [left, right]
    if (times.type === "IntegerValue" && (isText(one) || isList(one))) {
      const count = Math.max(0, numberOf(times))
      if (count * one.value.length > 1 << 24) throw new RangeError("it makes texts of more than 16777216 characters")
      return isText(one) ? text(one.value.repeat(count)) : list(Array.from({ length: count }, () => one.value).flat())
    }
  }
  return computed(operator, left, right)
}

/** As `json.dumps` of Python, which transformers gives templates: with spaces, and no letter escaped unless asked. */
export const json = (value: Value, how: Json, depth = 1): string => {
  const { ascii, indent, separators: [item, key], sorted } = how
  const string = (one: string): string => {
    const quoted = JSON.stringify(one)
    return ascii
      ? quoted.replaceAll(/[\u007f-\uffff]/gu, "$&").replaceAll(
        /[^\0-\u007e]/g,
        (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
      : quoted
  }
  const held = (open: string, close: string, parts: ReadonlyArray<string>): string => {
    if (parts.length === 0 || indent === null) return `${open}${parts.join(item)}${close}`
    const pad = `\n${" ".repeat(indent * depth)}`
    return `${open}${pad}${parts.join(`${item}${pad}`)}\n${" ".repeat(indent * (depth - 1))}${close}`
  }
  if (isText(value)) return string(value.value)
  if (isList(value)) return held("[", "]", value.value.map((one) => json(one, how, depth + 1)))
  if (isObject(value)) {
    const entries = [...value.value]
    if (sorted) entries.sort(([a], [b]) => order(text(a), text(b)))
    return held("{", "}", entries.map(([name, one]) => `${string(name)}${key}${json(one, how, depth + 1)}`))
  }
  if (value.type === "NullValue") return "null"
  if (value.type === "BooleanValue") return String(value.value)
  if (isNumber(value)) return written(value)
  throw new TypeError(`it writes a ${value.type} as JSON`)
}
interface Json {
  readonly ascii: boolean
  readonly indent: number | null
  readonly separators: readonly [item: string, key: string]
  readonly sorted: boolean
}

export const isTrue = (value: Value | undefined): boolean =>
  value !== undefined &&
  (isObject(value) ? value.value.size > 0 : isList(value) ? value.value.length > 0 : !!value.value)

/** The items that Python goes through. */
export const itemsOf = (value: Value): ReadonlyArray<Value> => {
  if (isList(value)) return value.value
  if (isText(value)) return Array.from(value.value, text)
  if (isObject(value)) return [...value.value.keys()].map(text)
  if (value.type === "UndefinedValue") return []
  throw new TypeError(`it goes through a ${value.type}`)
}
export const undefinedValue = (): Value => new classes.Undefined(undefined)
export const attributed = (of: Value, path: string): Value =>
  path.split(".").reduce<Value>(
    (one, name) => (isObject(one) ? one.value.get(name) : undefined) ?? undefinedValue(),
    of
  )
