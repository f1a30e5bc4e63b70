import { Template } from "@huggingface/jinja"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import type { Json } from "./tokenizerJson.ts"

export type Messages = ReadonlyArray<{ readonly role: string; readonly content: string }>

/**
 * Renders a conversation with the model's own template: `chat_template.jinja`, else `chat_template` of
 * `tokenizer_config.json` (of several, the template named "default"). Null without a template. The header of the next turn is added
 * unless the assistant had the last word.
 */
export const chatTemplate = (
  files: ReadonlyMap<string, string>,
  settings: Json,
  special: Readonly<Record<string, string>>
): ((messages: Messages) => string) | null => {
  const file = files.get("chat_template.jinja")
  const source = file ?? named(settings["chat_template"])
  if (source === null) return null
  let template: Template
  try {
    template = new Template(timeless(source))
  } catch (error) {
    throw new BadCheckpoint({
      path: file === undefined ? "tokenizer_config.json" : "chat_template.jinja",
      problem: `the chat template is not valid Jinja (${(error as Error).message})`,
      remedy: "Correct the template, or remove it and give prompts as text."
    })
  }
  return (messages) =>
    template.render({ ...special, messages, add_generation_prompt: messages.at(-1)?.role !== "assistant" })
}

const named = (source: unknown): string | null => {
  if (typeof source === "string") return source
  if (!Array.isArray(source)) return null
  const found = (source as ReadonlyArray<unknown>).find((one) => (one as Json | null)?.["name"] === "default") as
    | Json
    | undefined
  return typeof found?.["template"] === "string" ? found["template"] : null
}

/**
 * Some templates write today's date into the prompt when they can. The same conversation must give the same tokens tomorrow,
 * so they find no clock and fall back on the date that they carry. The line break is eaten by the tag before it.
 */
const timeless = (source: string): string =>
  source.includes("strftime_now") ? `{% set strftime_now = no_clock %}\n${source}` : source
