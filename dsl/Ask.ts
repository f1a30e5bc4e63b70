/**
 * The context in which a policy is asked, which the rows of the result do not keep: a system prompt (context distillation, Askell et al. 2021,
 * arXiv 2112.00861), a text around the prompt or around a completion (rewriting), examples before it, variables of the chat template
 * (thinking modes). Code: `src/data/ask.ts`.
 *
 * In `simulate` a context changes nothing: the prompts of a world have none, so the bare prompt is asked, and a line says so.
 */
import * as Schema from "effect/Schema"
import { Count } from "./Training.ts"

export class Ask extends Schema.TaggedClass<Ask>()("Ask", {
  /** The first message of a conversation; a text before a prompt that is plain text. */
  system: Schema.optionalKey(Schema.NonEmptyString),
  /**
   * The text instead of the prompt, around columns of its row: `{{prompt}}` (of a conversation, its last message), `{{completion}}` of a row
   * that has one, `{{answer}}`, and the row's own columns.
   */
  template: Schema.optionalKey(Schema.NonEmptyString),
  /** Examples on the wire `examples` before the prompt, drawn for each completion anew, an empty line after each. */
  shots: Schema.optionalKey(Count),
  /**
   * Variables of the model's chat template, e.g. `{ enable_thinking: false }`. A plain prompt becomes a user's message then.
   */
  chat: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json))
}) {}

type Context = Omit<typeof Ask["~type.make.in"], "_tag">

/** Several together, e.g. `Ask.context({ system, template })`. */
export const context = (of: Context): Ask => new Ask(of, { disableChecks: true })
export const system = (text: string): Ask => context({ system: text })
export const template = (text: string): Ask => context({ template: text })
export const fewShot = (shots: number): Ask => context({ shots })
export const chat = (variables: Readonly<Record<string, Schema.Json>> = {}): Ask => context({ chat: variables })

/** Mistakes in a context by itself, for a stage that calls it `name`; `examples` says whether there are any. */
export const mistakes = (name: string, ask: Ask | undefined, examples: boolean): ReadonlyArray<string | false> => [
  ask !== undefined && Object.keys(ask).length <= 1 &&
  `${name} has no context: give system, template, shots or chat, or leave it out`,
  (ask?.shots === undefined) === examples &&
  (examples
    ? `examples are connected, and ${name} takes none: give shots, or leave them out`
    : `${name} has shots ${ask!.shots}, and there are no examples: connect Prompts or Demonstrations as examples`)
]
