/**
 * A conversation in which a policy writes several turns, as tokens. Token in, token out: the tokens that the policy wrote stay as they
 * are, whatever the tokenizer would make of their text; only the text *between* two turns is rendered and encoded. It is what the model's
 * chat template puts after an assistant's message (the message's end left out) up to the header of the next.
 */
import type { Codec } from "../engine/engine.ts"
import { Abandoned, limited, Overran } from "../model/foreign.ts"
import { Unfit } from "./encode.ts"
import { rendered, variablesIn } from "./messages.ts"
import type { Message, PromptRow } from "./rows.ts"
import { callReaders, callsIn, type Tool, type ToolCall } from "./toolCalls.ts"

/** A message of an environment. */
export interface Reply {
  readonly role: "tool" | "user"
  readonly content: string
}

export interface Conversation {
  /** The prompt of an episode: the row's conversation, or its prompt as the first message of the user, with the tools and the row's own. */
  readonly prompt: (row: PromptRow) => Int32Array
  /** The tool calls in the text of a turn, as the model's chat template writes them. */
  readonly calls: (text: string) => ReadonlyArray<ToolCall>
  /** What stands between a turn and the next; null where nothing can follow the turn. */
  readonly reply: (
    turn: { readonly calls: ReadonlyArray<ToolCall>; readonly ended: boolean },
    replies: ReadonlyArray<Reply>
  ) => Int32Array | null
}

/** Mistral's templates take ids of nine letters only. */
const idOf = (i: number): string => `call${String(i).padStart(5, "0")}`

const asked = { role: "user", content: "?" }

const turnOf = (calls: ReadonlyArray<ToolCall>): Message =>
  calls.length === 0
    ? { role: "assistant", content: "!" }
    : {
      role: "assistant",
      content: null,
      tool_calls: calls.map(({ arguments: given, name }, i) => ({
        id: idOf(i),
        type: "function",
        function: { name, arguments: given }
      }))
    }

const remedy = "Take a model whose chat template renders tools and their results, or give one with chatTemplate."

/** Throws `Unfit` where the model's chat template cannot carry such a conversation. */
export const conversation = (codec: Codec, tools: ReadonlyArray<Tool>): Conversation => {
  const { answers } = codec
  if (answers !== undefined) {
    return {
      prompt: ({ prompt }) => codec.encodePrompt(prompt),
      calls: callsIn,
      reply: (turn, replies) => answers(turn, replies.map(({ content }) => content).join(" "))
    }
  }
  const shown = tools.map((of) => ({ type: "function", function: of }))
  const render = (
    messages: ReadonlyArray<Message>,
    { tools = [], ...variables }: ReturnType<typeof variablesIn> = {}
  ) => {
    const all = [...shown, ...tools as typeof shown]
    try {
      // `checked` sees what is left out. A model may have learnt of an environment's tools elsewhere.
      return rendered(codec.chat, messages, { ...variables, ...(all.length === 0 ? {} : { tools: all }) }, () => {})
    } catch (cause) {
      if (cause instanceof Abandoned || cause instanceof Unfit) throw cause
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
  const checked = (): Conversation["calls"] => {
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
    if (tool === undefined) return callsIn
    const said = limited(() => codec.decode(codec.encodeCompletion(turn, { end: false })))
    const keys = (calls: ReadonlyArray<ToolCall>) =>
      JSON.stringify(calls.map((one) => [one.name, Object.keys(one.arguments).sort()]))
    const reads = callReaders.find((reads) => keys(reads(said, tools)) === keys(call))
    if (reads !== undefined) return (text: string) => reads(text, tools)
    throw new Unfit(
      "its model's chat template writes no tool calls, or neither as JSON with a name and arguments nor in the tags of Qwen3-Coder or GLM",
      remedy
    )
  }
  const calls = checked()
  return {
    prompt: ({ columns = {}, messages, prompt }) =>
      codec.encodePrompt(render(messages ?? [{ role: "user", content: prompt }], variablesIn(columns))),
    calls,
    reply: ({ calls, ended }, replies) => {
      try {
        return ended ? around(calls, replies).after : null
      } catch (error) {
        // A policy may call in ways that its template refuses: two tools at once, say.
        if (error instanceof Unfit) return null
        throw error
      }
    }
  }
}
