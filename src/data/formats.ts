import { NoChatTemplate } from "../model/chatTemplate.ts"
import { Abandoned, Overran } from "../model/foreign.ts"
import { Unfit } from "./encode.ts"
import {
  asMessage,
  brokenMessage,
  type Chat,
  complete,
  isMessages,
  rendered,
  sameMessage,
  variablesIn
} from "./messages.ts"
import { filled } from "./template.ts"
import {
  type Columns,
  completed,
  type CompletionRow,
  type DemonstrationRow,
  type Message,
  type PreferenceRow,
  type PromptRow,
  type ScoredRow,
  type TextRow,
  type Turn,
  type UnpairedPreferenceRow
} from "./rows.ts"

/**
 * A JSON object as a row: the dataset formats of TRL (huggingface.co/docs/trl/dataset_formats), standard
 * (strings) and conversational (lists of messages), and the columns that public preference sets use for scores. Pure; an object that
 * is not a row of the format throws `Unfit`.
 */

export type Field =
  | "text"
  | "prompt"
  | "completion"
  | "chosen"
  | "rejected"
  | "margin"
  | "score"
  | "messages"
  | "answer"
  | Judged
/** Of rows with a judgement for each answer (`judged.ts`). */
type Judged = "completions" | "scores" | "label" | "labels"

export interface RowFormat {
  /** Where a field is, when not under its own name: `{ prompt: "question" }`; a dot goes inside: `"instances.0.output"`. */
  readonly fields?: Readonly<Partial<Record<Field, string>>>
  /** Needed for conversational rows only. */
  readonly chat?: Chat
  /** The text of a prompt around columns of the row: see `template.ts`. */
  readonly template?: string
  /** Whether a text as prompt is a user's message. */
  readonly asked?: boolean
  /** Variables of the chat template in the row. */
  readonly variables?: () => Readonly<Record<string, unknown>>
}

export type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null

/** The value of a field, wherever `format` has it; undefined when there is none, or null. */
export const at = (row: Json, field: Field, format: RowFormat): unknown => {
  const path = format.fields?.[field]
  const steps = path === undefined ? [field] : Object.hasOwn(row, path) ? [path] : path.split(".")
  const value = steps.reduce<unknown>(
    (value, step) => isObject(value) && Object.hasOwn(value, step) ? value[step] : undefined,
    row
  ) ?? undefined
  return Array.isArray(value) ? value.map(asMessage) : value
}

/** A row by its format, with the variables that it gives the chat template. */
export const rowIn = <Row>(
  of: (row: Json, format: RowFormat) => Row,
  row: Json,
  format: RowFormat
): Row => of(row, { ...format, variables: () => variablesIn(row) })

/** The `prompt` of a row as text. */
export const promptText = (row: Json, format: RowFormat): string => {
  if (at(row, "prompt", format) === undefined) throw missing(row, "prompt", format)
  return promptRow(row, format).prompt
}

/** Why a field cannot be had, with a field that the row does have as the example of a remedy. */
const missing = (row: Json, field: Field, format: RowFormat): Unfit => {
  const names = Object.keys(row)
  const name = format.fields?.[field] ?? field
  const value = at(row, field, format)
  if (Array.isArray(value)) {
    return new Unfit(
      `"${name}" ${brokenMessage(value)}`,
      "A message is { role, content }, both texts, and content may be null beside tool_calls; leave such rows out, or correct them."
    )
  }
  if (value !== undefined) {
    return new Unfit(
      `"${name}" is neither a string nor a list of messages { role, content }`,
      `Make it a string, or name another field, as in fields: { ${field}: "…" }.`
    )
  }
  if ((field === "chosen" || field === "rejected") && at(row, "label", format) !== undefined) {
    return new Unfit(
      `no field "${name}"; the row has an answer with a label, which is no pair`,
      "Take Source.unpairedPreferences, which Kto.make trains on."
    )
  }
  const like = names.find((n) => typeof row[n] === "string" && !(n in known)) ?? names[0] ?? "question"
  return new Unfit(
    `no field "${name}"; the row has ${names.length === 0 ? "no fields" : names.map((n) => `"${n}"`).join(", ")}`,
    `Say where it is, as in fields: { ${field}: ${JSON.stringify(like)} }.`
  )
}
const known: Readonly<Record<string, true>> = { id: true, split: true, tree: true }

/** A string as it is, messages as text. */
export const render = (value: string | ReadonlyArray<Message>, format: RowFormat): string => {
  if (typeof value === "string") return value
  if (format.chat === undefined) {
    throw new Unfit(
      "the row is a conversation, and no chat template renders it",
      "Use a base model whose tokenizer has a chat template, or give plain strings."
    )
  }
  try {
    return rendered(format.chat, value, format.variables?.() ?? {})
  } catch (cause) {
    if (cause instanceof Abandoned || cause instanceof Unfit) throw cause
    if (cause instanceof Overran) throw new Unfit(cause.problem, cause.remedy)
    if (cause instanceof NoChatTemplate) {
      throw new Unfit(`the row is a conversation, and ${cause.message}`, cause.remedy)
    }
    throw new Unfit(
      `the chat template does not take this conversation: ${cause instanceof Error ? cause.message : String(cause)}`,
      "Check the order of the roles, or use a base model whose chat template allows it."
    )
  }
}

interface Answered {
  readonly prompt: string
  readonly completion: string
}

/** The text that `after` adds to `before` once both are rendered. */
const remainder = (before: ReadonlyArray<Message>, after: ReadonlyArray<Message>, format: RowFormat): Answered => {
  const prompt = render(before, format)
  const whole = render([...before, ...after], format)
  if (whole.startsWith(prompt)) {
    const completion = whole.slice(prompt.length)
    complete(completion, after)
    return { prompt, completion }
  }
  throw new Unfit(
    "the rendered prompt is not the beginning of the rendered conversation",
    "Use a chat template that only ever appends, or give prompt and completion as plain strings."
  )
}

/** A prompt and its continuation, both strings or both messages. */
const join = (row: Json, field: "completion" | "chosen" | "rejected", format: RowFormat): Answered => {
  const prompt = at(row, "prompt", format)
  const rest = at(row, field, format)
  if (typeof prompt === "string" && typeof rest === "string") return { prompt, completion: rest }
  if (!isMessages(prompt) && typeof prompt !== "string") throw missing(row, "prompt", format)
  if (!isMessages(rest) && typeof rest !== "string") throw missing(row, field, format)
  // UltraFeedback's own layout: the prompt a string, the answers whole conversations that begin with it.
  const before = typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt
  const after = typeof rest === "string" ? [{ role: "assistant", content: rest }] : rest
  const repeats = after.length > before.length &&
    before.every((m, i) => sameMessage(m, after[i]))
  return remainder(before, repeats ? after.slice(before.length) : after, format)
}

/** A conversation is a demonstration of its last assistant turn, given the turns before. */
const lastTurn = (messages: ReadonlyArray<Message>, format: RowFormat): DemonstrationRow => {
  const last = messages.findLastIndex((message) => message.role === "assistant")
  if (last < 1) {
    throw new Unfit('no assistant turn with something before it in "messages"', "Leave such conversations out.")
  }
  return {
    ...remainder(messages.slice(0, last), messages.slice(last, last + 1), format),
    turns: turnsOf(messages.slice(0, last + 1), format)
  }
}

/**
 * Every assistant turn that something comes before. Each rendered beginning has to be continued by the next: then the texts of the turns
 * follow one another and make up the whole.
 */
const turnsOf = (messages: ReadonlyArray<Message>, format: RowFormat): ReadonlyArray<Turn> | null => {
  const turns: Array<Turn> = []
  let whole = ""
  try {
    for (const [i, { role }] of messages.entries()) {
      if (role !== "assistant" || i === 0) continue
      const { completion, prompt } = remainder(messages.slice(0, i), messages.slice(i, i + 1), format)
      if (!prompt.startsWith(whole)) return null
      turns.push({ context: prompt.slice(whole.length), answer: completion })
      whole = prompt + completion
    }
    return turns
  } catch (error) {
    if (error instanceof Unfit) return null
    throw error
  }
}

/** `text`, or a whole conversation. */
export const textRow = (row: Json, format: RowFormat): TextRow => {
  const messages = at(row, "messages", format)
  const value = at(row, "text", format) ?? messages
  if (typeof value === "string" || isMessages(value)) return { text: render(value, format) }
  throw missing(row, value === messages && messages !== undefined ? "messages" : "text", format)
}

/** `prompt` and `completion`, or `messages` split at the last assistant turn. */
export const demonstrationRow = (row: Json, format: RowFormat): DemonstrationRow => {
  const [prompt, completion] = [at(row, "prompt", format), at(row, "completion", format)]
  const messages = at(row, "messages", format)
  if (isMessages(messages) && prompt === undefined) return lastTurn(messages, format)
  if (messages !== undefined && prompt === undefined) throw missing(row, "messages", format)
  const made = join(row, "completion", format)
  if (!isMessages(prompt) || !isMessages(completion)) return made
  return { ...made, turns: turnsOf([...prompt, ...completion], format) }
}

/** A demonstration, with the `answer` and the columns of its prompt. */
export const completionRow = (row: Json, format: RowFormat): CompletionRow => {
  return { ...completed(demonstrationRow(row, format)), ...promptRow(row, format) }
}

/** The same with a `score`. */
export const scoredRow = (row: Json, format: RowFormat): ScoredRow => {
  const score = at(row, "score", format)
  if (score === undefined) throw missing(row, "score", format)
  if (typeof score === "number" && Number.isFinite(score)) return { ...completionRow(row, format), score }
  throw new Unfit("the score is not a number", "Make it a number: larger is better.")
}

/** A demonstration with a `label`: true, or 1, for a desirable answer. */
export const unpairedPreferenceRow = (row: Json, format: RowFormat): UnpairedPreferenceRow => {
  const { completion, prompt } = demonstrationRow(row, format)
  const label = at(row, "label", format)
  if (label === undefined) throw missing(row, "label", format)
  if (label === true || label === 1) return { prompt, completion, label: true }
  if (label === false || label === 0) return { prompt, completion, label: false }
  throw new Unfit("the label is neither true nor false", "Make it true for a desirable answer and false for another.")
}

/**
 * `prompt`, or the text before the answer in a row of any other format; `answer`, a string or a number, if any; and the columns of no
 * field, for verifiers.
 */
export const promptRow = (row: Json, format: RowFormat): PromptRow => {
  const asked = promptAndAnswer(row, format)
  const columns = columnsOf(row, format, asked.answer === undefined)
  const messages = messagesIn(row, format)
  return {
    ...asked,
    ...(messages === undefined ? {} : { messages }),
    ...(columns === undefined ? {} : { columns })
  }
}

/** The messages of a conversation that is to be answered: an environment renders them with its tools. */
const messagesIn = (row: Json, format: RowFormat): ReadonlyArray<Message> | undefined => {
  const prompt = at(row, "prompt", format)
  const messages = prompt ?? at(row, "messages", format)
  if (!isMessages(messages)) return undefined
  return prompt === undefined && messages.at(-1)!.role === "assistant" ? messages.slice(0, -1) : messages
}

const fieldNames: ReadonlySet<string> = new Set<Field>([
  "text",
  "prompt",
  "completion",
  "completions",
  "chosen",
  "rejected",
  "messages",
  "answer"
])

/** An `answer` that is no text is a column like others. */
const columnsOf = (row: Json, format: RowFormat, unanswered: boolean): Columns | undefined => {
  const named = new Set(Object.values(format.fields ?? {}))
  const others = Object.entries(row).filter(([name]) =>
    (!fieldNames.has(name) || (name === "answer" && unanswered)) && !named.has(name)
  )
  return others.length === 0 ? undefined : Object.fromEntries(others) as Columns
}

const promptAndAnswer = (row: Json, format: RowFormat): PromptRow => {
  const prompt = promptOf(row, format)
  const answer = at(row, "answer", format)
  if (typeof answer === "string" || typeof answer === "number") return { prompt, answer: String(answer) }
  if (format.fields?.answer === undefined) return { prompt }
  if (answer === undefined) throw missing(row, "answer", format)
  throw new Unfit(
    `"${format.fields.answer}" is neither a string nor a number`,
    "Make it a string, which a verifier can compare."
  )
}

const promptOf = (row: Json, format: RowFormat): string => {
  const { asked, template } = format
  const value = template === undefined ? at(row, "prompt", format) : filled(template, row)
  if (asked === true && typeof value === "string") return render([{ role: "user", content: value }], format)
  if (typeof value === "string" || isMessages(value)) return render(value, format)
  const messages = at(row, "messages", format)
  if (value === undefined && isMessages(messages)) {
    return messages.at(-1)!.role === "assistant" ? lastTurn(messages, format).prompt : render(messages, format)
  }
  if (value === undefined && at(row, "chosen", format) !== undefined) return preferenceRow(row, format).prompt
  throw missing(row, value === undefined && messages !== undefined ? "messages" : "prompt", format)
}

/** `chosen` and `rejected`, with a `prompt` or a common beginning; `margin`, or the difference of two scores. */
export const preferenceRow = (row: Json, format: RowFormat): PreferenceRow => {
  const pair = at(row, "prompt", format) === undefined
    ? implicit(row, format)
    : pairOf(join(row, "chosen", format), join(row, "rejected", format))
  const margin = marginOf(row, format)
  return margin === undefined ? pair : { ...pair, margin }
}

const pairOf = (chosen: Answered, rejected: Answered): PreferenceRow => ({
  prompt: chosen.prompt,
  chosen: chosen.completion,
  rejected: rejected.completion
})

const identical = (): Unfit =>
  new Unfit(
    '"chosen" and "rejected" are the same, so where the prompt ends cannot be told',
    "Leave such rows out, or give the prompt in its own field."
  )

/** The prompt is the common beginning of both answers: the common turns, or the common text. */
const implicit = (row: Json, format: RowFormat): PreferenceRow => {
  const chosen = at(row, "chosen", format)
  const rejected = at(row, "rejected", format)
  if (typeof chosen === "string" && typeof rejected === "string") {
    if (chosen === rejected) throw identical()
    const end = promptEnd(chosen, rejected)
    return { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) }
  }
  if (!isMessages(chosen)) throw missing(row, "chosen", format)
  if (!isMessages(rejected)) throw missing(row, "rejected", format)
  const end = chosen.findIndex((m, i) => !sameMessage(m, rejected[i]))
  if (end < 0) throw identical()
  return pairOf(
    remainder(chosen.slice(0, end), chosen.slice(end), format),
    remainder(rejected.slice(0, end), rejected.slice(end), format)
  )
}

/**
 * Length of the common prefix, as TRL's `extract_prompt` has it: a space before the difference belongs to the answers. In
 * transcripts like those of Bai et al. 2022 it goes back to the last `\n\nAssistant:`, so that an answer stays whole.
 */
const promptEnd = (chosen: string, rejected: string): number => {
  let end = 0
  while (end < Math.min(chosen.length, rejected.length) && chosen[end] === rejected[end]) end++
  const turn = "\n\nAssistant:"
  const speaker = chosen.lastIndexOf(turn, end - turn.length)
  if (speaker >= 0 && end >= turn.length) return speaker + turn.length
  // Never between the two halves of a surrogate pair.
  if (end > 0 && /[\uD800-\uDBFF]/u.test(chosen[end - 1]!)) return end - 1
  return end > 0 && chosen[end - 1] === " " ? end - 1 : end
}

const marginOf = (row: Json, format: RowFormat): number | undefined => {
  const metadata = isObject(row.metadata) ? row.metadata : {}
  const difference = [row, metadata].map((scores) =>
    typeof scores.score_chosen === "number" && typeof scores.score_rejected === "number"
      ? scores.score_chosen - scores.score_rejected
      : undefined
  ).find((d) => d !== undefined)
  const margin = at(row, "margin", format) ?? difference
  if (margin === undefined && format.fields?.margin !== undefined) throw missing(row, "margin", format)
  if (margin === undefined || typeof margin === "number" && Number.isFinite(margin)) return margin
  throw new Unfit("the margin is not a number", "Make it a number: how much better the chosen answer is.")
}
