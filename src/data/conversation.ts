/**
 * A conversation in which a policy writes several turns, as tokens. Token in, token out: the tokens that the policy wrote stay as they
 * are, whatever the tokenizer would make of their text; only the text *between* two turns is rendered and encoded. It is what the model's
 * chat template puts after an assistant's message (the message's end left out) up to the header of the next.
 */
import type * as Schema from "effect/Schema"
import type { Codec } from "../engine/engine.ts"
import { Abandoned, limited, Overran } from "../model/foreign.ts"
import { Unfit } from "./encode.ts"
import type { PromptRow } from "./rows.ts"

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

/** A message of an environment. */
export interface Reply {
  readonly role: "tool" | "user"
  readonly content: string
}

export interface Conversation {
  /** The prompt of an episode: the row's conversation, or its prompt as the first message of the user, with the tools. */
  readonly prompt: (row: PromptRow) => Int32Array
  /** What stands between a turn and the next; null where nothing can follow the turn. */
  readonly reply: (
    turn: { readonly calls: ReadonlyArray<ToolCall>; readonly ended: boolean },
    replies: ReadonlyArray<Reply>
  ) => Int32Array | null
}

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
 * The tool calls in a message: the JSON objects in it with a `name` and `arguments` (or `parameters`), whatever their template puts
 * around them (`<tool_call>` of Hermes and Qwen, nothing of Llama, a list of Mistral). Total, in one pass.
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

/** Mistral's templates take ids of nine letters only. */
const idOf = (i: number): string => `call${String(i).padStart(5, "0")}`

const asked = { role: "user", content: "?" }

const turnOf = (calls: ReadonlyArray<ToolCall>) => ({
  role: "assistant",
  content: calls.length > 0 ? "" : "!",
  ...(calls.length === 0 ? {} : {
    tool_calls: calls.map((call, i) => ({ id: idOf(i), type: "function", function: call }))
  })
})

const remedy = "Take a model whose chat template renders tools and their results, or give one with chatTemplate."

/** Throws `Unfit` where the model's chat template cannot carry such a conversation. */
export const conversation = (codec: Codec, tools: ReadonlyArray<Tool>): Conversation => {
  const { answers } = codec
  if (answers !== undefined) {
    return {
      prompt: ({ prompt }) => codec.encodePrompt(prompt),
      reply: (turn, replies) => answers(turn, replies.map(({ content }) => content).join(" "))
    }
  }
  const shown = tools.length === 0 ? {} : { tools: tools.map((of) => ({ type: "function", function: of })) }
  const render = (messages: Parameters<Codec["chat"]>[0]): string => {
    try {
      return codec.chat(messages, shown)
    } catch (cause) {
      if (cause instanceof Abandoned) throw cause
      if (cause instanceof Overran) throw new Unfit(cause.problem, cause.remedy)
      throw new Unfit(
        `its model cannot speak in turns: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy
      )
    }
  }
  /** The places of the tokens that end a turn. */
  const ends = (ids: Int32Array): ReadonlyArray<number> => [...ids.keys()].filter((t) => codec.stop.includes(ids[t]!))
  /** The turn as the template writes it, and the tokens that it puts after it. */
  const around = (calls: ReadonlyArray<ToolCall>, replies: ReadonlyArray<Reply>) => {
    const said = turnOf(calls)
    const [opening, before] = [render([asked]), render([asked, said])]
    const whole = render([
      asked,
      said,
      ...replies.map(({ content, role }, i) => {
        const call = role === "tool" ? calls[Math.min(i, calls.length - 1)] : undefined
        return {
          role,
          content,
          ...(call === undefined ? {} : { name: call.name, tool_call_id: idOf(calls.indexOf(call)) })
        }
      })
    ])
    const turn = before.startsWith(opening) ? before.slice(opening.length) : before
    const after = limited(() => {
      const ended = ends(codec.encodePrompt(before)).length
      if (ended > ends(codec.encodePrompt(opening)).length) {
        // The policy wrote the end of its turn itself; a line break after it, say, is the template's.
        const ids = codec.encodePrompt(whole)
        const end = ends(ids)[ended - 1]
        if (end !== undefined) return ids.slice(end + 1)
      } else if (whole.startsWith(before)) return codec.encodeCompletion(whole.slice(before.length), { end: false })
      throw new Unfit(
        "its model's chat template rewrites a message once it is answered, so where it ends cannot be told",
        "Take a chat template that only ever appends."
      )
    })
    return { turn, whole, after }
  }
  const checked = (): void => {
    const [tool] = tools
    const role = tool === undefined ? "user" as const : "tool" as const
    const call = tool === undefined
      ? []
      : [{
        name: tool.name,
        arguments: Object.fromEntries(Object.keys(tool.parameters.properties).map((key) => [key, "0"]))
      }]
    const content = "4242"
    const { turn, whole } = around(call, [{ role, content }])
    if (!whole.includes(content)) {
      throw new Unfit(`its model's chat template leaves out messages of the role ${role}`, remedy)
    }
    const read = callsIn(turn)
    if (call.some(({ name }) => !read.some((one) => one.name === name))) {
      throw new Unfit(
        "its model's chat template writes no tool calls, or none as JSON with a name and arguments",
        remedy
      )
    }
  }
  checked()
  return {
    prompt: ({ messages, prompt }) => codec.encodePrompt(render(messages ?? [{ role: "user", content: prompt }])),
    reply: ({ calls, ended }, replies) => ended ? around(calls, replies).after : null
  }
}
