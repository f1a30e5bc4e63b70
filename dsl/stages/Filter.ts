/**
 * Keeps the rows that pass every criterion given. Lengths are in words (of the answer, of both answers of a pair; of
 * the instruction of a prompt) or in tokens of the model on `tokenizer` (of the whole row, as `maxLength` of a stage counts them), whose
 * chat template renders conversations. A verdict is the score of a verifier: `minScore: 1` keeps correct rows. A margin is how much
 * better the chosen answer is; a pair without a margin is left out. Done by `src/data/filter.ts`.
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
  /** Of pairs alone. */
  minMargin: Schema.optionalKey(Schema.Finite),
  /** Words of the longest answer over words of the shortest: 1.2 keeps pairs of similar length. */
  maxLengthRatio: Schema.optionalKey(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1, { message: "must be 1 or more" }))
  ),
  /** Only answers that ended by themselves, not at a length limit. */
  ended: Schema.optionalKey(Schema.Literal(true))
}) {}

/** Kinds whose rows have several answers. */
const compared: ReadonlyArray<string> = ["Preferences", "Rankings"]

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
      "it has no criterion and would keep everything: give minWords, maxWords, minTokens, maxTokens, minScore, minMargin, maxLengthRatio or ended",
      (criteria.minTokens ?? criteria.maxTokens) !== undefined && tokenizer === undefined &&
      `Filter.tokenizer is missing: connect ${wires.tokenizer.needs}`,
      minTokens > maxTokens && `minTokens ${minTokens} is more than maxTokens ${maxTokens}`,
      criteria.minScore !== undefined && of !== undefined && of.node.kind !== "ScoredCompletions" &&
      `minScore needs scored completions, not ${of.node.kind}: score them first, e.g. with Score.byReward(…)`,
      criteria.minMargin !== undefined && of !== undefined && of.node.kind !== "Preferences" &&
      `minMargin needs pairs, not ${of.node.kind}: pair them first, with Pair.make(…, { margins: true })`,
      criteria.maxLengthRatio !== undefined && of !== undefined && !compared.includes(of.node.kind) &&
      `maxLengthRatio compares the answers of a row, and ${of.node.kind} have one at most: give Preferences or Rankings`,
      minWords > maxWords && `minWords ${minWords} is more than maxWords ${maxWords}`
    ]
  }
})

export const make = <W extends Given>(
  connected: Checked<"Filter", typeof definition.wires, never, W>,
  params: Exclude<typeof Filter["~type.make.in"], void>
): SameAs<W> => build(definition, connected, params)
