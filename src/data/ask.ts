/** A prompt in its context; see `dsl/Ask.ts`. */
import * as Effect from "effect/Effect"
import type { Ask } from "../../dsl/Ask.ts"
import { UnusableData } from "../../dsl/Errors.ts"
import { Unfit } from "./cut.ts"
import type { Codec } from "../engine/engine.ts"
import { eachLimited } from "../model/foreign.ts"
import { stream } from "../sampling/random.ts"
import { render } from "./formats.ts"
import { EncodeWhenRead, lazyArray } from "./lazyArray.ts"
import type { CompletionRow, DemonstrationRow, Message, PromptRow } from "./rows.ts"
import { filled } from "./template.ts"

/** A prompt, or a completion to write anew. */
export type Askable = PromptRow & { readonly completion?: string }

/** The examples before a prompt: different ones as far as there are enough. */
const shown = (examples: ReadonlyArray<PromptRow | DemonstrationRow>, shots: number, key: string): string => {
  const order = stream(key).shuffle(examples.map((_, i) => i))
  return Array.from({ length: shots }, (_, i) => {
    const { completion = "", prompt } = examples[order[i % order.length]!]! as Askable
    return `${prompt}${completion}\n\n`
  }).join("")
}

/** Completions as prompts; where conversations were asked for, each as a user's message. */
export const asPrompts = (
  codec: Codec,
  ask: Ask | undefined,
  rows: ReadonlyArray<CompletionRow>
): ReadonlyArray<PromptRow> =>
  eachLimited(rows, ({ completion, messages: asked }) => {
    const messages = [{ role: "user", content: completion.trim() }]
    return asked === undefined && ask?.chat === undefined
      ? { prompt: messages[0]!.content }
      : { prompt: render(messages, { chat: codec.chat }), messages }
  })

/** The text that the policy sees, by its tokenizer `codec`; `key` draws the examples. Throws `Unfit`. */
export const inContext = (
  codec: Codec,
  { chat, shots, system, template }: Ask,
  row: Askable,
  examples: ReadonlyArray<PromptRow | DemonstrationRow>,
  key: string
): string => {
  const messages = row.messages ?? (chat === undefined ? undefined : [{ role: "user", content: row.prompt }])
  const last = messages?.at(-1)
  const { answer, completion } = row
  const own = last?.content ?? row.prompt
  const text = (shots === undefined ? "" : shown(examples, shots, key)) +
    (template === undefined ? own : filled(template, {
      ...row.columns,
      ...(answer === undefined ? {} : { answer }),
      ...(completion === undefined ? {} : { completion }),
      prompt: own
    }))
  if (messages === undefined) return system === undefined ? text : `${system}\n\n${text}`
  const [first, ...others] = [...messages.slice(0, -1), { ...last!, content: text }] as unknown as readonly [
    Message,
    ...Array<Message>
  ]
  const all = system === undefined
    ? [first, ...others]
    : first.role === "system" && others.length > 0
    ? [{ ...first, content: `${system}\n\n${first.content}` }, ...others]
    : [{ role: "system", content: system }, first, ...others]
  return render(all, { chat: (messages) => codec.chat(messages, chat) })
}

/** Every row in its context, `times` times in a row, each time with other examples; `stream` draws them. */
export const inContexts = Effect.fnUntraced(function*(
  { codec, stage }: { readonly codec: Codec; readonly stage: string },
  ask: Ask,
  rows: ReadonlyArray<Askable>,
  { examples = [], stream, times = 1 }: {
    readonly examples?: ReadonlyArray<PromptRow | DemonstrationRow> | undefined
    readonly stream: string
    readonly times?: number
  }
) {
  const one = (i: number): PromptRow => ({
    prompt: inContext(codec, ask, rows[Math.floor(i / times)]!, examples, `${stream}/examples/${i}`)
  })
  if (yield* EncodeWhenRead) return lazyArray(times * rows.length, one)
  let at = 0
  return yield* Effect.try({
    try: () => eachLimited(Array.from({ length: times * rows.length }, (_, i) => i), (i) => one(at = i)),
    catch: (error) => {
      if (!(error instanceof Unfit)) throw error
      const { message: problem, remedy } = error
      return new UnusableData({
        stage,
        problem: `row ${Math.floor(at / times) + 1} of its prompts: ${problem}`,
        remedy
      })
    }
  })
})
