/** The tool of `Calculator` (`dsl/Environment.ts`). */
import type { Reply } from "../../data/conversation.ts"
import type { Tool, ToolCall } from "../../data/toolCalls.ts"
import { evaluated, plainSigns } from "../arithmetic.ts"
import { valueOf } from "../mathematics/rational.ts"

const tool: Tool = {
  name: "calculator",
  description: "The value of an arithmetic expression.",
  parameters: {
    type: "object",
    properties: { expression: { type: "string", description: "Numbers, + - * / and brackets, e.g. (3 + 4.5) * 2" } }
  }
}

/** A whole number in full, any other number to ten digits. */
const resultOf = ({ arguments: { expression }, name }: ToolCall): string => {
  if (name !== tool.name) return `error: there is no tool ${name}`
  if (typeof expression !== "string") return "error: expression is missing"
  const value = expression.length > 1000 ? undefined : evaluated(plainSigns(expression), "decimals")?.value
  if (value === undefined) return "error: not an expression of numbers, + - * / and brackets"
  return value.n % value.d === 0n ? String(value.n / value.d) : String(Number(valueOf(value).toPrecision(10)))
}

export const calculate = {
  tools: [tool],
  /** A result for each call; a message without a call is the end. */
  step: (calls: ReadonlyArray<ToolCall>): { readonly reply: ReadonlyArray<Reply> } => ({
    reply: calls.map((call) => ({ role: "tool", content: resultOf(call) }))
  })
}
