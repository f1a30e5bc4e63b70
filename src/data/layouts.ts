/**
 * Layouts of published data sets besides TRL's, recognised by their columns, as rows in TRL's: ShareGPT, Alpaca, UltraFeedback. A row that
 * has TRL's own columns, or names them in `fields`, is left as it is.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Role } from "./dataset.ts"
import { Unfit } from "./encode.ts"
import { at, type Json, type RowFormat } from "./formats.ts"
import type { Message } from "./rows.ts"

interface Layout {
  readonly name: string
  readonly is: (row: Json) => boolean
  /** Throws `Unfit`. */
  readonly as: (row: Json, role: Role) => Json
}

/** The row as `schema` has it, or the place in it that is wrong. */
export const checked = <S extends Schema.Codec<any, any>>(schema: S, remedy: string) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (row: Json): S["Type"] => {
    const result = decode(row)
    if (Result.isSuccess(result)) return result.success
    const [expected = "", path = ""] = result.failure.message.split(/\n\s*at /u)
    throw new Unfit(`${path.split("\n")[0]}: ${expected.toLowerCase()}`, remedy)
  }
}

const Turn = Schema.Struct({ from: Schema.String, value: Schema.String })
const ShareGpt = Schema.Struct({
  conversations: Schema.NonEmptyArray(Turn),
  system: Schema.optional(Schema.NullOr(Schema.String)),
  chosen: Schema.optional(Turn),
  rejected: Schema.optional(Turn)
})

const speakers: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  model: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool"
}

const messageOf = ({ from, value }: typeof Turn.Type): Message => {
  const role = Object.hasOwn(speakers, from.toLowerCase()) ? speakers[from.toLowerCase()] : undefined
  if (role !== undefined) return { role, content: value }
  throw new Unfit(
    `a turn is from ${JSON.stringify(from)}`,
    "Turns are from human, gpt, system or tool; give others as messages { role, content }."
  )
}

const turns = checked(ShareGpt, 'ShareGPT has conversations: [{ "from": "human", "value": "…" }, …].')

const shareGpt: Layout = {
  name: "ShareGPT (conversations of from and value)",
  is: ({ conversations, messages }) =>
    messages === undefined && Array.isArray(conversations) && typeof conversations[0] === "object" &&
    conversations[0] !== null && "from" in conversations[0],
  as: (row) => {
    const { chosen, conversations, rejected, system } = turns(row)
    const messages = conversations.map(messageOf)
    if (typeof system === "string" && system !== "") messages.unshift({ role: "system", content: system })
    const { conversations: _, kto_tag: tag, system: __, ...others } = row
    const label = tag === undefined ? {} : { label: tag }
    return chosen === undefined || rejected === undefined
      ? { ...others, ...label, messages }
      : { ...others, prompt: messages, chosen: [messageOf(chosen)], rejected: [messageOf(rejected)] }
  }
}

const Alpaca = Schema.Struct({
  instruction: Schema.String,
  input: Schema.optional(Schema.NullOr(Schema.String)),
  output: Schema.optional(Schema.String)
})

const asked = checked(Alpaca, 'Alpaca has the texts "instruction", "input" (may be empty) and "output".')

const alpaca: Layout = {
  name: "Alpaca (instruction, input, output; as plain text)",
  is: ({ completions, instances, instruction }) =>
    instruction !== undefined && completions === undefined && instances === undefined,
  as: (row) => {
    const { input, instruction, output } = asked(row)
    const { history, input: _, instruction: __, kto_tag: tag, output: ___, system, ...others } = row
    if (Array.isArray(history) && history.length > 0 || typeof system === "string" && system !== "") {
      throw new Unfit(
        'an Alpaca row with "history" or "system" is a conversation',
        "Give its turns as messages { role, content }."
      )
    }
    return {
      ...others,
      prompt: input ? `${instruction}\n${input}` : instruction,
      ...(output === undefined ? {} : { completion: output }),
      ...(tag === undefined ? {} : { label: tag })
    }
  }
}

const Rating = Schema.Union([Schema.String, Schema.Number])
const Judged = Schema.Struct({
  response: Schema.String,
  annotations: Schema.optional(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  overall_score: Schema.optional(Schema.NullOr(Schema.Number)),
  "fine-grained_score": Schema.optional(Schema.NullOr(Schema.Number))
})
const UltraFeedback = Schema.Struct({ instruction: Schema.String, completions: Schema.Array(Judged) })

const isRating = Schema.is(Schema.Struct({ Rating }))

/**
 * The mean of the ratings by aspect, as Argilla's cleaned set has it: `overall_score` is 10 where it should be 1 in some rows
 * (huggingface.co/datasets/argilla/ultrafeedback-binarized-preferences). Without ratings, the score that is there.
 */
const scoreOf = (judged: typeof Judged.Type): number => {
  const ratings = Object.values(judged.annotations ?? {}).flatMap((one) => {
    const rating = isRating(one) ? Number(one.Rating) : NaN
    return Number.isFinite(rating) ? [rating] : []
  })
  const score = ratings.length > 0
    ? ratings.reduce((sum, rating) => sum + rating, 0) / ratings.length
    : judged.overall_score ?? judged["fine-grained_score"]
  if (typeof score === "number" && Number.isFinite(score)) return score
  throw new Unfit("a completion has neither ratings nor a score", "Leave such rows out.")
}

const judged = checked(UltraFeedback, "UltraFeedback has an instruction and completions with response and annotations.")

const ultraFeedback: Layout = {
  name: "UltraFeedback (completions with ratings; a pair is the best and the worst)",
  is: ({ completions, instruction }) =>
    instruction !== undefined && Array.isArray(completions) && typeof completions[0] === "object",
  as: (row, role) => {
    const { completions, instruction } = judged(row)
    const { completions: _, instruction: __, ...others } = row
    const prompt = instruction
    if (role === "Prompts") return { ...others, prompt }
    const scores = completions.map(scoreOf)
    if (role === "Rankings") {
      return {
        ...others,
        prompt,
        completions: completions.map(({ response }) => response),
        scores
      }
    }
    const [best, worst] = [Math.max(...scores), Math.min(...scores)]
    const answer = (score: number) => completions[scores.indexOf(score)]?.response
    if (role === "Demonstrations") return { ...others, prompt, completion: answer(best) }
    if (!(best > worst)) {
      throw new Unfit("no completion is rated above another", 'Leave such rows out, e.g. by onBadRow: "skip".')
    }
    return { ...others, prompt, chosen: answer(best), rejected: answer(worst), margin: best - worst }
  }
}

const layouts: ReadonlyArray<Layout> = [shareGpt, ultraFeedback, alpaca]

/** TRL's columns: a row that has one of them is in TRL's layout. Alpaca has a `text` beside its own columns. */
const own = (role: Role) =>
  role === "Text" ? ["text", "messages"] as const : ["prompt", "messages", "completion"] as const

/** TRL's name of each role. */
const terms: Readonly<Record<Role, string>> = {
  Text: "language modeling",
  Prompts: "prompt-only",
  Demonstrations: "prompt-completion",
  Preferences: "preference",
  Rankings: "ranking",
  Stepwise: "stepwise supervision",
  UnpairedPreferences: "unpaired preference",
  Completions: "prompt-completion",
  ScoredCompletions: "prompt-completion with a score"
}

/** Columns whose messages make a row conversational. */
const answers = ["messages", "completion", "chosen", "prompt"] as const

const described = (row: Json, role: Role, format: RowFormat): string => {
  const has = (field: Parameters<typeof at>[1]) => at(row, field, format) !== undefined
  const conversational = answers.some((field) => Array.isArray(at(row, field, format)))
  const chosen = at(row, "chosen", format)
  return [
    terms[role],
    ...(conversational ? ["conversational"] : []),
    ...(role === "Preferences" && !has("prompt") ? ["implicit prompt"] : []),
    ...(typeof chosen === "string" && chosen.startsWith("\n\nHuman:") ? ["transcripts (Human, Assistant)"] : [])
  ].join(", ")
}

export interface Recognised {
  readonly name: string
  readonly as: (row: Json) => Json
}

/** The layout of rows with the columns of `row`. */
const recognise = (row: Json, role: Role, format: RowFormat): Recognised => {
  const layout = own(role).some((field) => at(row, field, format) !== undefined)
    ? undefined
    : layouts.find(({ is }) => is(row))
  return layout === undefined
    ? { name: described(row, role, format), as: (row) => row }
    : { name: `${layout.name} as ${terms[role]}`, as: (row) => layout.as(row, role) }
}

/** Recognises rows one after another; rows with the same columns of the same types have the same layout. */
export const recognising = (role: Role | null, format: RowFormat): (row: Json) => Recognised => {
  if (role === null) return () => ({ name: "columns of their own", as: (row) => row })
  const known = new Map<string, Recognised>()
  return (row) => {
    let columns = ""
    for (const [name, value] of Object.entries(row)) {
      columns += `${name}\0${Array.isArray(value) ? "list" : typeof value}\0`
    }
    const found = known.get(columns)
    if (found !== undefined) return found
    const made = recognise(row, role, format)
    // Rows whose columns are data would fill the memory.
    if (known.size < 1000) known.set(columns, made)
    return made
  }
}
