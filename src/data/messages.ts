/**
 * The messages of a conversation as rows have them (OpenAI's and TRL's): a text or parts of text, tool calls beside a content that is null
 * or left out, results of tools, and the tools of the row. The model's own chat template renders them; what it leaves out is an error.
 */
import { Unfit } from "./cut.ts"
import type { Message } from "./rows.ts"

/** Renders a conversation as text, as the model's chat template does with variables such as `tools`. */
export type Chat = (
  messages: ReadonlyArray<{ readonly role: string; readonly content: string | null }>,
  variables?: Readonly<Record<string, unknown>>
) => string

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const isText = (part: unknown): part is { readonly text: string } =>
  isObject(part) && part["type"] === "text" && typeof part["text"] === "string"

/** What is called; some rows have it without `function` around it. */
const calledBy = (call: unknown): Json | undefined => {
  const of = isObject(call) && isObject(call["function"]) ? call["function"] : call
  return isObject(of) && typeof of["name"] === "string" ? of : undefined
}

/** The message with parts of text as one text, and without fields that are null, as columns of tables have them; others as they are. */
export const asMessage = (value: unknown): unknown => {
  if (!isObject(value) || typeof value["role"] !== "string") return value
  const { content, tool_calls: calls } = value
  if (typeof content === "string" && calls === undefined) return value
  const others = Object.entries(value).filter(([name, field]) =>
    field !== null && name !== "content" && (name !== "tool_calls" || !Array.isArray(field) || field.length > 0)
  )
  return {
    content: Array.isArray(content) && content.every(isText)
      ? content.map(({ text }) => text).join("")
      : content ?? null,
    ...Object.fromEntries(others)
  }
}

const isMessage = (value: unknown): value is Message => {
  if (!isObject(value) || typeof value["role"] !== "string") return false
  const { content, tool_calls: calls } = value
  if (calls === undefined) return typeof content === "string"
  return (typeof content === "string" || content === null) && Array.isArray(calls) &&
    calls.every((call) => calledBy(call) !== undefined)
}
export const isMessages = (value: unknown): value is ReadonlyArray<Message> =>
  Array.isArray(value) && value.length > 0 && value.every(isMessage)

/** The first message of a list that is none, in words. */
export const brokenMessage = (messages: ReadonlyArray<unknown>): string => {
  const i = messages.findIndex((message) => !isMessage(message))
  const message = messages[i]
  if (i < 0) return "has no messages"
  if (!isObject(message)) return `is no list of messages: entry ${i + 1} is ${JSON.stringify(message).slice(0, 40)}`
  const { content, role, tool_calls: calls } = message
  if (typeof role === "string" && Array.isArray(content)) {
    const { type } = (content.find((part) => !isText(part)) ?? {}) as Json
    return `has a part of the type ${JSON.stringify(type)} in the content of message ${i + 1}: models read text here`
  }
  if (typeof role === "string" && (typeof content === "string" || content === null && calls !== undefined)) {
    return `has a tool call without a name in message ${i + 1}`
  }
  const name = typeof role === "string" ? "content" : "role"
  const found = JSON.stringify(message[name]) as string | undefined
  return `has no text as the ${name} of message ${i + 1}: ${found === undefined ? "there is none" : found.slice(0, 40)}`
}

/** Whether two messages say the same. */
export const sameMessage = (a: Message, b: Message | undefined): boolean =>
  a.role === b?.role && a.content === b.content && JSON.stringify(a["tool_calls"]) === JSON.stringify(b["tool_calls"])

/** Variables of the chat template in the columns of a row: its `tools`, a list or the JSON of one, and `chat_template_kwargs`. */
export const variablesIn = (row: Json): Json => {
  const [tools, others] = [row["tools"], row["chat_template_kwargs"]].map((value) =>
    typeof value === "string" ? parsed(value) ?? value : value
  )
  if (tools != null && !(Array.isArray(tools) && tools.every((tool) => calledBy(tool) !== undefined))) {
    throw new Unfit(
      '"tools" is no list of tools with names',
      "Give a list as OpenAI's, or the JSON of one, or rename the column."
    )
  }
  if (others != null && !isObject(others)) {
    throw new Unfit(
      '"chat_template_kwargs" is no object',
      "Give an object of the template's variables, or rename the column."
    )
  }
  return {
    ...others as Json | undefined,
    ...((tools as ReadonlyArray<Json> | undefined ?? []).length === 0 ? {} : { tools })
  }
}

const calling = (message: Message): ReadonlyArray<Json> | undefined =>
  message["tool_calls"] as ReadonlyArray<Json> | undefined

/**
 * The messages in the ways that templates ask for: the text beside tool calls is empty, or null, where there is none; arguments are an
 * object, or its JSON.
 */
const spellings = function*(messages: ReadonlyArray<Message>): Generator<ReadonlyArray<Message>> {
  if (messages.every((message) => calling(message) === undefined)) {
    yield messages
    return
  }
  const spelt = (call: Json, text: boolean) => {
    const of = calledBy(call)!
    const { arguments: given = {} } = of
    const value = typeof given === "string" ? parsed(given) ?? given : given
    const json = typeof given === "string" ? given : JSON.stringify(given)
    const { id } = call
    return {
      ...(id === undefined ? {} : { id }),
      type: "function",
      function: { ...of, arguments: text ? json : value }
    }
  }
  for (const empty of ["", null]) {
    for (const text of [false, true]) {
      yield messages.map((message) => {
        const calls = calling(message)
        return calls === undefined
          ? message
          : {
            ...message,
            content: message.content ?? empty,
            tool_calls: calls.map((call) => spelt(call, text))
          } as Message
      })
    }
  }
}

const remedy = "Take a model whose chat template renders tools, their calls and results, or give one with chatTemplate."

/** How often a name stands in a text by itself. */
const timesIn = (text: string, name: string): number => {
  const pieces = text.split(name)
  return pieces.slice(1).filter((after, i) => !/[\w-]$/u.test(pieces[i]!.slice(-1)) && !/^[\w-]/u.test(after)).length
}

/** Throws where a text that the template made of messages and tools leaves out tools, tool calls or results. */
export const complete = (text: string, messages: ReadonlyArray<Message>, tools: ReadonlyArray<unknown> = []): void => {
  const names = new Map<string, number>()
  const name = (of: unknown) => calledBy(of)!["name"] as string
  const named = (one: string) => names.set(one, (names.get(one) ?? 0) + 1)
  const leftOut = (what: string) => {
    throw new Unfit(`the chat template leaves out ${what}`, remedy)
  }
  for (const one of tools.map(name)) {
    if (timesIn(text, one) === 0) leftOut(`the tool ${one}`)
    named(one)
  }
  for (const [i, message] of messages.entries()) {
    for (const one of (calling(message) ?? []).map(name)) {
      named(one)
      if (timesIn(text, one) < names.get(one)!) leftOut(`the call of ${one} in message ${i + 1}`)
    }
    const said = (message.content ?? "").trim()
    if (message.role === "tool" && !text.includes(said) && !text.includes(JSON.stringify(said).slice(1, -1))) {
      leftOut(`the result of a tool in message ${i + 1}`)
    }
  }
}

/** The conversation as the template renders it. Throws what `check` throws of it, and what the template throws. */
export const rendered = (chat: Chat, messages: ReadonlyArray<Message>, variables: Json, check = complete): string => {
  const tools = (variables["tools"] ?? []) as ReadonlyArray<unknown>
  if (tools.length === 0 && messages.every(({ content, role }) => content !== null && role !== "tool")) {
    return chat(messages, variables)
  }
  let why: unknown
  for (const spelling of spellings(messages)) {
    try {
      const text = chat(spelling, variables)
      check(text, messages, tools)
      return text
    } catch (error) {
      // That something is left out says more than that a spelling does not fit.
      if (error instanceof Unfit || why === undefined) why = error
    }
  }
  throw why
}

/** For want of a chat template: every message in a line, with all that it has. */
export const anyChat: Chat = (messages, { tools } = {}) =>
  [...(tools === undefined ? [] : [{ tools }]), ...messages].map((one) =>
    `${"role" in one && !("tool_calls" in one) ? `${one.role}: ${one.content}` : JSON.stringify(one)}\n`
  ).join("")
