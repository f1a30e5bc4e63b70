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

/** The tokens of an answer that are learnt. */
export const masking = {
  /**
   * `template`: not the token that ends the answer, which its chat template wrote and not its author (Llama 3.1, arXiv 2407.21783, §4.1.4:
   * header and termination tokens of both answers of DPO; headers stand in the prompt, which is never learnt). No gradient, no
   * log-ratio and no length counts it. Default `none`: every token is learnt. Earlier turns are masked by `loss: "completion"` of Sft.
   */
  mask: Schema.optionalKey(Schema.Literals(["none", "template"]))
}
export type Mask = "none" | "template"

/** The values of these fields. */
export interface Truncating {
  readonly maxLength?: number
  readonly truncation?: typeof Truncation.Type | undefined
}
