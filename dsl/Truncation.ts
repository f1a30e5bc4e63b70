/** What a stage that trains on rows does with long rows. TRL's names. */
import * as Schema from "effect/Schema"
import { Count } from "./Training.ts"

export const Truncation = Schema.Literals(["error", "keep-start", "keep-end", "drop"])

export const truncating = {
  /**
   * Longest row, tokens: prompt with completion and end (TRL `max_length`), of pairs and rankings their longest sequence; in a stage that
   * answers prompts itself, the prompt (TRL `max_prompt_length`). Default: the model's context, less `maxNewTokens` where longer prompts
   * are cut or dropped.
   */
  maxLength: Schema.optionalKey(Count),
  /**
   * Longer rows are an error (the default), or are told with their count and: `keep-start` cuts the end, `keep-end` the beginning (TRL
   * `truncation_mode`), so that a completion stays whole as long as it fits, `drop` leaves the row out (TRL's reward models). Answers to
   * one prompt keep one prompt. A row without an answer after the cut is an error.
   */
  truncation: Schema.optionalKey(Truncation)
}

/** The values of these fields. */
export interface Truncating {
  readonly maxLength?: number
  readonly truncation?: typeof Truncation.Type | undefined
}
