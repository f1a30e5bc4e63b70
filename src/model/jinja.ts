/**
 * Jinja as Python computes it (Jinja2 in transformers' sandbox), where `@huggingface/jinja` (0.5.11) computes otherwise. Held by
 * `property-tests/model/jinja.json`, made by transformers; what is not in it is refused by name when a template is read.
 */
import { Interpreter } from "@huggingface/jinja"
import { capitalised, count, given, methods, needed, replaced, stripped, titledByFilter } from "./jinjaMethods.ts"
import {
  attributed,
  classes,
  combined,
  comparisons,
  equal,
  isList,
  isNumber,
  isObject,
  isText,
  isTrue,
  itemsOf,
  json,
  list,
  none,
  numberOf,
  text,
  tuple,
  undefinedValue,
  type Value,
  whole,
  written
} from "./jinjaValues.ts"

/** A node of the package's syntax tree. */
export interface Node {
  readonly type: string
  readonly value?: unknown
  readonly operator?: { readonly value: string }
  readonly left?: Node
  readonly right?: Node
  readonly operand?: Node
  readonly object?: Node
  readonly property?: Node
  readonly computed?: boolean
  readonly filter?: Node
  readonly callee?: Node
  readonly iterable?: Node
  readonly args?: ReadonlyArray<Node>
  /** Of a comparison whose left side stands in parentheses. */
  readonly grouped?: boolean
  /** Of an operand that is evaluated already. */
  readonly known?: Value
}

type Filter = (of: Value, args: ReadonlyArray<Value>, named: ReadonlyMap<string, Value>) => Value

/** The filters that compute otherwise in the package, or are not there. */
const filters: Readonly<Record<string, Filter>> = {
  trim: (of, [chars], named) => text(stripped(written(of), given(chars ?? named.get("chars")), "both")),
  string: (of) => text(written(of)),
  upper: (of) => text(written(of).toUpperCase()),
  lower: (of) => text(written(of).toLowerCase()),
  capitalize: (of) => text(capitalised(written(of))),
  title: (of) => text(titledByFilter(written(of))),
  replace: (of, [old, by, most], named) =>
    text(replaced(written(of), needed(old), needed(by), count(most ?? named.get("count")))),
  length: (of) => whole(of.type === "UndefinedValue" ? 0 : isObject(of) ? of.value.size : itemsOf(of).length),
  count: (of) => whole(of.type === "UndefinedValue" ? 0 : isObject(of) ? of.value.size : itemsOf(of).length),
  list: (of) => list([...itemsOf(of)]),
  first: (of) => itemsOf(of)[0] ?? undefinedValue(),
  last: (of) => itemsOf(of).at(-1) ?? undefinedValue(),
  reverse: (of) => isText(of) ? text(Array.from(of.value).reverse().join("")) : list([...itemsOf(of)].reverse()),
  unique: (of) => {
    const folded = (one: Value): Value => isText(one) ? text(one.value.toLowerCase()) : one
    const all = itemsOf(of)
    return list(all.filter((one, i) => all.findIndex((other) => equal(folded(one), folded(other))) === i))
  },
  join: (of, [by, attribute], named) => {
    const path = given(attribute ?? named.get("attribute"))
    const parts = itemsOf(of).map((one) => written(path === undefined ? one : attributed(one, path)))
    return text(parts.join(given(by ?? named.get("d")) ?? ""))
  },
  int: (of, [otherwise], named) => {
    if (isNumber(of)) return whole(Math.trunc(numberOf(of)) + 0)
    const number = isText(of) ? stripped(of.value, undefined, "both") : ""
    if (/^[+-]?\d+(?:_\d+)*$/u.test(number)) return whole(Number(number.replaceAll("_", "")))
    if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/iu.test(number)) return whole(Math.trunc(Number(number)) + 0)
    return otherwise ?? named.get("default") ?? whole(0)
  },
  float: (of, [otherwise], named) => {
    if (isNumber(of)) return new classes.Float(numberOf(of))
    const number = isText(of) ? stripped(of.value, undefined, "both") : ""
    if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/iu.test(number)) return new classes.Float(Number(number))
    return otherwise ?? named.get("default") ?? new classes.Float(0)
  },
  default: (of, [by, falsy], named) =>
    of.type === "UndefinedValue" || (isTrue(falsy ?? named.get("boolean")) && !isTrue(of))
      ? by ?? named.get("default_value") ?? text("")
      : of,
  items: (of) =>
    isObject(of)
      ? list([...of.value].map(([key, one]) => tuple([text(key), one])))
      : of.type === "UndefinedValue"
      ? list([])
      : (() => {
        throw new TypeError(`it takes the items of a ${of.type}`)
      })(),
  tojson: (of, args, named) => {
    if (args.length > 0) throw new TypeError("it gives tojson arguments without names")
    const indent = named.get("indent")
    const separators = named.get("separators")
    return text(json(of, {
      ascii: isTrue(named.get("ensure_ascii")),
      indent: indent === undefined || indent.type === "NullValue" ? null : count(indent),
      separators: separators === undefined || separators.type === "NullValue"
        ? [indent === undefined || indent.type === "NullValue" ? ", " : ",", ": "]
        : itemsOf(separators).map(needed) as unknown as readonly [string, string],
      sorted: isTrue(named.get("sort_keys"))
    }))
  }
}
/** Filters and tests of the package that agree with Python's on the values that it takes; it throws for others. */
const kept: ReadonlySet<string> = new Set(
  ["safe", "abs", "sort", "dictsort", "indent", "map", "selectattr", "rejectattr", "select", "reject"]
    .concat(Object.keys(filters))
)
const tests: ReadonlySet<string> = new Set(
  ("boolean callable odd even false true none string number integer iterable mapping sequence lower upper defined undefined " +
    "equalto eq").split(" ")
)

/** Filters and tests in a template that are not held against Python, by name. */
export const unproven = (program: unknown): ReadonlyArray<string> => {
  const found = new Set<string>()
  const look = (one: unknown): void => {
    if (Array.isArray(one)) return one.forEach(look)
    if (one instanceof Map) return [...one].forEach(look)
    if (typeof one !== "object" || one === null) return
    const { filter, test, type } = one as Node & { readonly test?: Node }
    const name = (filter?.type === "CallExpression" ? filter.callee : filter)?.value
    if (typeof name === "string" && !kept.has(name)) found.add(`the filter ${name}`)
    const { value } = one as Node
    if (type === "IntegerLiteral" && !Number.isSafeInteger(value)) found.add("a whole number above 2^53")
    if (type === "TestExpression" && !tests.has(test?.value as string)) found.add(`the test ${String(test?.value)}`)
    Object.values(one).forEach(look)
  }
  look(program)
  return [...found]
}

interface Token {
  readonly type: string
}

/**
 * Marks comparisons of comparisons that stand in parentheses, which the package's tree leaves out: `(a < b) == c` is no chain. Throws where
 * that cannot be told.
 */
export const markGroups = (program: unknown, tokens: ReadonlyArray<Token>): void => {
  const compares = (node: Node | undefined): boolean =>
    node?.type === "BinaryExpression" && Object.hasOwn(comparisons, node.operator!.value)
  const grouped = (node: Node): boolean => {
    const [outer, inner] = [node, node.left!].map(({ operator }) => tokens.indexOf(operator as unknown as Token))
    if (outer! < 0 || inner! < 0) throw new SyntaxError('it compares the result of a comparison with "not in"')
    let depth = 0
    for (let at = outer! - 1; at >= inner!; at--) {
      const { type } = tokens[at]!
      depth += type === "CloseParen" ? 1 : type === "OpenParen" ? -1 : 0
    }
    return depth > 0
  }
  const look = (one: unknown): void => {
    if (Array.isArray(one)) return one.forEach(look)
    if (one instanceof Map) return [...one].forEach(look)
    if (typeof one !== "object" || one === null) return
    const node = one as Node
    if (compares(node) && compares(node.left) && grouped(node)) Object.assign(node, { grouped: true })
    Object.values(one).forEach(look)
  }
  look(program)
}

/** Statements, which write nothing themselves. */
const silent: ReadonlySet<string> = new Set(["Set", "Macro", "Comment", "Break", "Continue"])
const dictionary: ReadonlySet<string> = new Set(["items", "keys", "values", "get"])

/** The package's own types are lost on TypeScript: its declarations import files without extensions. */
const Package = Interpreter as unknown as new(environment: unknown) => {
  evaluate(statement: Node | undefined, environment: unknown): Value
  evaluateBlock(statements: ReadonlyArray<Node>, environment: unknown): Value
  evaluateMemberExpression(node: Node, environment: unknown): Value
  evaluateArguments(
    args: ReadonlyArray<Node>,
    environment: unknown
  ): readonly [ReadonlyArray<Value>, ReadonlyMap<string, Value>]
  evaluateFor(node: Node, environment: unknown): Value
  applyFilter(of: Value, filter: Node, environment: unknown): Value
  run(program: unknown): Value
}

const known = (value: Value): Node => ({ type: "Known", known: value })

/** Evaluates as Python does. */
export class Pythonic extends Package {
  override evaluate(statement: Node | undefined, environment: unknown): Value {
    if (statement?.known !== undefined) return statement.known
    if (statement?.type === "CallExpression" && statement.callee?.value === "strftime_now") {
      throw new TypeError(
        "it writes the date of today by strftime_now, and the same conversation must give the same tokens tomorrow: " +
          "write a date into the template, by chatTemplate"
      )
    }
    if (statement?.type !== "BinaryExpression") return super.evaluate(statement, environment)
    const operator = statement.operator!.value
    if (operator === "and" || operator === "or") return super.evaluate(statement, environment)
    const inner = statement.left!
    const chained = statement.grouped !== true && Object.hasOwn(comparisons, operator) &&
      inner.type === "BinaryExpression" &&
      Object.hasOwn(comparisons, inner.operator!.value)
    if (chained) {
      // a < b < c is a < b and b < c.
      const middle = known(this.evaluate(inner.right, environment))
      const first = this.evaluate({ ...inner, right: middle }, environment)
      return first.value === true ? this.evaluate({ ...statement, left: middle }, environment) : first
    }
    const [left, right] = [this.evaluate(inner, environment), this.evaluate(statement.right, environment)]
    return combined(operator, left, right) ??
      super.evaluate({ ...statement, left: known(left), right: known(right) }, environment)
  }

  override evaluateBlock(statements: ReadonlyArray<Node>, environment: unknown): Value {
    let all = ""
    for (const statement of statements) {
      const value = this.evaluate(statement, environment)
      if (!silent.has(statement.type)) all += written(value)
    }
    return text(all)
  }

  override evaluateMemberExpression(node: Node, environment: unknown): Value {
    const object = this.evaluate(node.object, environment)
    if (object.type === "UndefinedValue") throw new TypeError("it takes a part of something that is not defined")
    if (node.computed !== true || node.property!.type !== "SliceExpression") {
      const property = node.computed === true
        ? this.evaluate(node.property, environment)
        : { type: "StringValue", value: node.property!.value }
      if (isText(object)) {
        if (property.type === "IntegerValue") {
          const one = Array.from(object.value).at(numberOf(property))
          return one === undefined ? undefinedValue() : text(one)
        }
        const method = Object.hasOwn(methods, String(property.value)) ? methods[String(property.value)] : undefined
        if (method === undefined) return undefinedValue()
        return new classes.Function((args: ReadonlyArray<Value>) => {
          const last = args.at(-1)
          if (last?.type !== "KeywordArgumentsValue") return method(object.value, args)
          const named = last.value as ReadonlyMap<string, Value>
          const most = named.get("maxsplit") ?? named.get("count")
          if (most === undefined || named.size > 1) throw new TypeError(`it gives ${String(property.value)} names`)
          const places = property.value === "replace" ? 2 : 1
          return method(object.value, [...args.slice(0, -1), ...Array(places - args.length + 1).fill(none()), most])
        })
      }
      if (isList(object) && property.type === "StringValue") return undefinedValue()
      if (isObject(object) && node.computed !== true && property.value === "items") {
        return new classes.Function(() => filters["items"]!(object, [], new Map()))
      }
      if (isObject(object) && node.computed !== true && dictionary.has(String(property.value))) {
        return (object as unknown as { builtins: ReadonlyMap<string, Value> }).builtins.get(String(property.value))!
      }
      if (isObject(object) && property.type === "StringValue") {
        return object.value.get(String(property.value)) ?? undefinedValue()
      }
    }
    return super.evaluateMemberExpression({ ...node, object: known(object) }, environment)
  }

  /** Python goes through the letters of a text, and through nothing where something is not defined. */
  override evaluateFor(node: Node, environment: unknown): Value {
    const { iterable, loopvar } = node as unknown as {
      readonly iterable: Node & { readonly lhs?: Node }
      readonly loopvar: Node
    }
    const of = iterable.type === "SelectExpression" ? iterable.lhs! : iterable
    const items = known(
      list(
        itemsOf(this.evaluate(of, environment)).map((one) =>
          one.type === "TupleValue" && loopvar.type === "TupleLiteral" ? list(one.value as ReadonlyArray<Value>) : one
        )
      )
    )
    return super.evaluateFor(
      { ...node, iterable: iterable.type === "SelectExpression" ? { ...iterable, lhs: items } as Node : items },
      environment
    )
  }

  override applyFilter(of: Value, filter: Node, environment: unknown): Value {
    const called = filter.type === "CallExpression"
    const name = String((called ? filter.callee : filter)?.value)
    const own = Object.hasOwn(filters, name) ? filters[name] : undefined
    const [args, named] = called
      ? this.evaluateArguments(filter.args ?? [], environment)
      : [[], new Map<string, Value>()]
    if (own !== undefined) return own(of, args, named)
    if (name === "map" && isText(args[0])) {
      const [one, ...others] = args
      return list(
        itemsOf(of).map((item) =>
          this.applyFilter(item, {
            type: "CallExpression",
            callee: { type: "Identifier", value: (one as { readonly value: string }).value },
            args: others.map(known)
          }, environment)
        )
      )
    }
    if (name === "select" || name === "reject") {
      const [by, ...others] = args
      const test = by === undefined
        ? isTrue
        : (environment as { tests: ReadonlyMap<string, (...of: ReadonlyArray<Value>) => boolean> }).tests.get(
          needed(by)
        )
      if (test === undefined) throw new TypeError(`it selects by the test ${needed(by)}`)
      return list(itemsOf(of).filter((item) => test(item, ...others) === (name === "select")))
    }
    return super.applyFilter(of, filter, environment)
  }
}
