/**
 * Keeps the rows that pass every criterion given. Lengths are in words (of the answer, of both answers of a pair; of
 * the instruction of a prompt) or in tokens of the model on `tokenizer` (of the whole row, as `maxLength` of a stage counts them), whose
 * chat template renders conversations. A verdict is the score of a verifier: `minScore: 1` keeps correct rows. Done by
 * `src/data/filter.ts`.
 */
import * as Schema from "effect/Schema"
import { kept, rows, type SameAs } from "../Data.ts"
import { build, define } from "../Definition.ts"
import { Count } from "../Training.ts"
import { type Checked, type Given, model, optional } from "../Wires.ts"

export class Filter extends Schema.TaggedClass<Filter>()("Filter", {
  minWords: Schema.optionalKey(Count),
  maxWords: Schema.optionalKey(Count),
  /** Of the longest sequence of a row: prompt, completion and end. */
  minTokens: Schema.optionalKey(Count),
  maxTokens: Schema.optionalKey(Count),
  /** Of scored completions alone. */
  minScore: Schema.optionalKey(Schema.Finite),
  /** Only answers that ended by themselves, not at a length limit. */
  ended: Schema.optionalKey(Schema.Literal(true))
}) {}

const wires = {
  of: rows("rows to filter, e.g. Source.demonstrations(…)"),
  tokenizer: optional(
    model(["BaseModel", "Policy"], "a model whose tokens are counted, e.g. Checkpoint.huggingFace(…)")
  )
} as const

export const definition = define(Filter, wires, {
  ...kept,
  opens: {},
  mistakes: ({ _tag, ...criteria }, { of, tokenizer }) => {
    const { maxTokens = Infinity, maxWords = Infinity, minTokens = 0, minWords = 0 } = criteria
    return [
      Object.keys(criteria).length === 0 &&
      "it has no criterion and would keep everything: give minWords, maxWords, minTokens, maxTokens, minScore or ended",
      (criteria.minTokens ?? criteria.maxTokens) !== undefined && tokenizer === undefined &&
      `Filter.tokenizer is missing: connect ${wires.tokenizer.needs}`,
      minTokens > maxTokens && `minTokens ${minTokens} is more than maxTokens ${maxTokens}`,
      criteria.minScore !== undefined && of !== undefined && of.node.kind !== "ScoredCompletions" &&
      `minScore needs scored completions, not ${of.node.kind}: score them first, e.g. with Score.byReward(…)`,
      minWords > maxWords && `minWords ${minWords} is more than maxWords ${maxWords}`
    ]
  }
})

export const make = <W extends Given>(
  connected: Checked<"Filter", typeof definition.wires, never, W>,
  params: Exclude<typeof Filter["~type.make.in"], void>
): SameAs<W> => build(definition, connected, params)
