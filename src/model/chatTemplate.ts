import { Environment, parse, tokenize } from "@huggingface/jinja"
import { Abandoned, limited, Overran } from "./foreign.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { markGroups, type Node, Pythonic, unproven } from "./jinja.ts"
import type { Value } from "./jinjaValues.ts"
import type { Json } from "./tokenizerJson.ts"

export type Messages = ReadonlyArray<{ readonly role: string; readonly content: string | null }>

/** The file of a model folder with its chat template. */
export const templateFile = "chat_template.jinja"

/** Thrown where a conversation is to be rendered and the model has no chat template. */
export class NoChatTemplate extends Error {
  readonly remedy = "Give it one, Checkpoint.huggingFace(family, path, { chatTemplate }), or give plain strings."
  constructor() {
    super("the model's tokenizer has no chat template")
  }
}

/** The template is program text of strangers: its work is counted and ends at these limits, and at `longest` seconds. */
const most = {
  /** Statements and expressions that a rendering evaluates. */
  steps: 500_000,
  /** Items of a list that it makes. */
  items: 100_000,
  /** Characters of a text that it makes. */
  characters: 1 << 24,
  /** Characters and items that it makes in all. */
  made: 1 << 27
}

/** Evaluates at most `most`, so that no template takes memory without bound. */
class Counting extends Pythonic {
  private steps = 0
  private made = 0

  /** Nothing is evaluated where a slice has no bound. */
  override evaluate(statement: Node | undefined, environment: unknown): Value {
    if (++this.steps > most.steps) throw new RangeError(`it takes more than ${most.steps} steps`)
    const made = super.evaluate(statement, environment)
    const { value } = made
    const isText = typeof value === "string"
    if (isText || Array.isArray(value)) {
      const limit = isText ? most.characters : most.items
      this.made += value.length
      if (value.length > limit || this.made > most.made) {
        throw new RangeError(
          `it makes ${isText ? `texts of more than ${limit} characters` : `lists of more than ${limit} items`}`
        )
      }
    }
    return made
  }
}

/** As Python's, of at most `most.items` numbers. */
const range = (start: number, stop?: number, step = 1): ReadonlyArray<number> => {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  const length = Math.max(0, Math.ceil((to - from) / step))
  if (!(length <= most.items)) throw new RangeError(`range(…) has more than ${most.items} items`)
  return Array.from({ length }, (_, i) => from + i * step)
}

/**
 * Of the globals that transformers gives, there is no clock: some templates write today's date into the prompt when they can, and the
 * same conversation must give the same tokens tomorrow. They fall back on the date that they carry.
 */
const globals = {
  range,
  raise_exception: (message: unknown) => {
    throw new Error(String(message))
  },
  false: false,
  true: true,
  none: null,
  False: false,
  True: true,
  None: null
}

/**
 * Renders a conversation with the model's own template: `chat_template.jinja`, else `chat_template` of
 * `tokenizer_config.json` (of several, the template named "default"). Null without a template. The header of the next turn is added
 * unless the assistant had the last word. `variables` are for the template too: `tools`, for example.
 */
export const chatTemplate = (
  files: ReadonlyMap<string, string>,
  settings: Json,
  special: Readonly<Record<string, string>>
): ((messages: Messages, variables?: Readonly<Record<string, unknown>>) => string) | null => {
  const file = files.get(templateFile)
  const source = file ?? named(settings["chat_template"])
  if (source === null) return null
  const path = file === undefined ? "tokenizer_config.json" : templateFile
  const template = parsed(source, path)
  const others = unproven(template)
  if (others.length > 0) {
    throw new BadCheckpoint({
      path,
      problem: `the chat template uses ${others.join(", ")}, which Keel does not compute as Python does`,
      remedy: "Write the template without it, or remove the template and give prompts as text."
    })
  }
  return (messages, variables = {}) =>
    limited(() => {
      const environment = new Environment()
      const given = {
        ...globals,
        ...special,
        tools: null,
        documents: null,
        ...variables,
        messages,
        add_generation_prompt: messages.at(-1)?.role !== "assistant"
      }
      for (const [name, value] of Object.entries(given)) environment.set(name, value)
      return String(new Counting(environment).run(template).value)
    })
}

/** What stands between raw and endraw as an expression, which the package knows. */
const verbatim = (source: string): string =>
  source.replaceAll(
    /(?:(?<=^|\n)[ \t]+)?\{%\s*raw\s*%\}([^]*?)\{%\s*endraw\s*%\}\n?/gu,
    (_, raw: string) => `{{ ${JSON.stringify(raw)} }}`
  )

const parsed = (source: string, path: string) => {
  try {
    return limited(() => {
      const tokens = tokenize(verbatim(source.replaceAll(/\r\n?/gu, "\n")), { lstrip_blocks: true, trim_blocks: true })
      const program: unknown = parse(tokens)
      markGroups(program, tokens)
      return program
    })
  } catch (error) {
    if (error instanceof Abandoned) throw error
    throw new BadCheckpoint({
      path,
      problem: error instanceof Overran
        ? `the chat template: ${error.problem}`
        : `the chat template is not valid Jinja (${
          error instanceof TypeError ? "it ends too early" : (error as Error).message
        })`,
      remedy: "Correct the template, or remove it and give prompts as text."
    })
  }
}

const named = (source: unknown): string | null => {
  if (typeof source === "string") return source
  if (!Array.isArray(source)) return null
  const found = (source as ReadonlyArray<unknown>).find((one) => (one as Json | null)?.["name"] === "default") as
    | Json
    | undefined
  return typeof found?.["template"] === "string" ? found["template"] : null
}
