/** The tool calls in a message that a policy wrote. Total, in time in proportion to the text. */
import type * as Schema from "effect/Schema"

/** A tool as chat templates and OpenAI's interface know it; `parameters` is a JSON schema of its arguments. */
export interface Tool {
  readonly name: string
  readonly description: string
  readonly parameters: { readonly type: "object"; readonly properties: Readonly<Record<string, Schema.Json>> }
}

export interface ToolCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, Schema.Json>>
}

export type ReadsCalls = (text: string, tools: ReadonlyArray<Tool>) => ReadonlyArray<ToolCall>

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const callOf = (value: unknown): ToolCall | undefined => {
  if (!isObject(value)) return undefined
  if (isObject(value["function"])) return callOf(value["function"])
  const { name, arguments: given, parameters } = value
  const args = typeof given === "string" ? parsed(given) : given ?? parameters
  return typeof name === "string" && isObject(args)
    ? { name, arguments: args as ToolCall["arguments"] }
    : undefined
}

/**
 * The JSON objects in it with a `name` and `arguments` (or `parameters`), whatever their template puts around them (`<tool_call>` of
 * Hermes and Qwen, nothing of Llama, a list of Mistral).
 */
export const callsIn = (text: string): ReadonlyArray<ToolCall> => {
  const calls: Array<ToolCall> = []
  let [depth, start, quoted] = [0, 0, false]
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]
    if (quoted) {
      if (letter === "\\") at++
      else if (letter === '"') quoted = false
    } else if (letter === "{") {
      if (depth++ === 0) start = at
    } else if (depth > 0 && letter === '"') quoted = true
    else if (depth > 0 && letter === "}" && --depth === 0) {
      const call = callOf(parsed(text.slice(start, at + 1)))
      if (call !== undefined) calls.push(call)
    }
  }
  return calls
}

/** The pieces from each `open` to the next `close`, without both; a piece that has no end is none. */
const between = (text: string, open: string, close: string): ReadonlyArray<string> =>
  text.split(open).slice(1).flatMap((piece) => {
    const end = piece.indexOf(close)
    return end < 0 ? [] : [piece.slice(0, end)]
  })

/** What is before and after the first `mark`. */
const halves = (text: string, mark: string): readonly [string, string] => {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)]
}

/** XML has no types: an argument is a text where the tool says so, and elsewhere if it is no JSON. */
const callWith = (
  tools: ReadonlyArray<Tool>,
  name: string,
  args: ReadonlyArray<readonly [key: string, value: string]>
): ToolCall => {
  const properties = tools.find((tool) => tool.name === name)?.parameters.properties ?? {}
  return {
    name,
    arguments: Object.fromEntries(args.map(([key, text]): [string, Schema.Json] => {
      const schema = Object.hasOwn(properties, key) ? properties[key] : undefined
      const value = isObject(schema) && schema["type"] === "string" ? undefined : parsed(text)
      return [key, value === undefined ? text : value as Schema.Json]
    }))
  }
}

/** Qwen3-Coder's: `<function=NAME>`, and in it `<parameter=KEY>` with the value in lines of its own. */
const functionTags: ReadsCalls = (text, tools) =>
  between(text, "<function=", "</function>").map((body) => {
    const [name, rest] = halves(body, ">")
    const args = between(rest, "<parameter=", "</parameter>").map((one) => {
      const [key, value] = halves(one, ">")
      return [key.trim(), value.replace(/^\n/u, "").replace(/\n$/u, "")] as const
    })
    return callWith(tools, name.trim(), args)
  })

/** GLM's: a name in `<tool_call>`, and `<arg_key>` and `<arg_value>` after it. */
const argumentTags: ReadsCalls = (text, tools) =>
  between(text, "<tool_call>", "</tool_call>").map((body) => {
    const args = body.split("<arg_key>").slice(1).map((one) => {
      const [key, rest] = halves(one, "</arg_key>")
      return [key.trim(), between(rest, "<arg_value>", "</arg_value>")[0] ?? ""] as const
    })
    return callWith(tools, halves(body, "<arg_key>")[0].trim(), args)
  })

/** Each way of writing calls: a conversation takes the first that reads what its model's template writes. */
export const callReaders: ReadonlyArray<ReadsCalls> = [callsIn, functionTags, argumentTags]
